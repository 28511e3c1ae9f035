"""A room: who is in it and in which role, and what may happen to it."""

from msgspec import UNSET, UnsetType, field

from chat.domain.limits import FirstMembers, Id, PageLength, Title, Words
from chat.domain.vocabulary import Command, Kind, Query, Role, RoomEvent, State


class Room(State, frozen=True, kw_only=True):
    """`kind` is empty until the room is created. `last` is the seq of its newest message."""

    title: str = ""
    kind: Kind | str = ""
    archived: bool = False
    members: dict[str, Role] = field(default_factory=dict)  # in the order they came
    barred: tuple[str, ...] = ()
    pins: tuple[int, ...] = ()
    last: int = 0


class Direct(State, frozen=True, kw_only=True):
    """The direct room of two accounts, once it was opened."""

    room: str = ""


class CreateRoom(Command, frozen=True, kw_only=True):
    title: Title
    kind: Kind
    members: FirstMembers = ()


class RenameRoom(Command, frozen=True, kw_only=True):
    room: Id
    title: Title


class ArchiveRoom(Command, frozen=True, kw_only=True):
    room: Id


class UnarchiveRoom(Command, frozen=True, kw_only=True):
    room: Id


class JoinRoom(Command, frozen=True, kw_only=True):
    room: Id


class LeaveRoom(Command, frozen=True, kw_only=True):
    room: Id


class AddMember(Command, frozen=True, kw_only=True):
    room: Id
    account: Id


class RemoveMember(Command, frozen=True, kw_only=True):
    """Also bars the account from joining again, until somebody adds it."""

    room: Id
    account: Id


class ChangeRole(Command, frozen=True, kw_only=True):
    room: Id
    account: Id
    role: Role


class OpenDirect(Command, frozen=True, kw_only=True):
    account: Id


class RoomCreated(RoomEvent, frozen=True, kw_only=True):
    title: str
    kind: Kind
    between: tuple[str, str] | UnsetType = UNSET  # of a direct room


class RoomRenamed(RoomEvent, frozen=True, kw_only=True):
    title: str


class RoomArchived(RoomEvent, frozen=True, kw_only=True):
    pass


class RoomUnarchived(RoomEvent, frozen=True, kw_only=True):
    pass


class MemberAdded(RoomEvent, frozen=True, kw_only=True):
    account: str
    role: Role


class MemberRemoved(RoomEvent, frozen=True, kw_only=True):
    """`by` is the account itself when it left."""

    account: str


class RoleChanged(RoomEvent, frozen=True, kw_only=True):
    account: str
    role: Role


class ListRooms(Query, frozen=True, kw_only=True):
    """The asker's own rooms, with what is unread."""


class BrowseRooms(Query, frozen=True, kw_only=True):
    """Public rooms whose title holds `text`."""

    text: Words = ""


class ShowRoom(Query, frozen=True, kw_only=True, tag="room"):
    room: Id


class ListMembers(Query, frozen=True, kw_only=True):
    """In the order they came, `limit` of them behind the member `after`."""

    room: Id
    after: Id | None = None
    limit: PageLength = 100


class WhoIsOnline(Query, frozen=True, kw_only=True):
    room: Id
