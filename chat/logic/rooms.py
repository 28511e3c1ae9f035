"""Rules of rooms: how they come to be, who comes and goes, and what they are called."""

from collections.abc import Iterable

from msgspec.structs import replace

from chat.domain import limits
from chat.domain.accounts import Account, Reading
from chat.domain.errors import Refused
from chat.domain.rooms import (
    AddMember,
    ArchiveRoom,
    ChangeRole,
    CreateRoom,
    Direct,
    JoinRoom,
    LeaveRoom,
    MemberAdded,
    MemberRemoved,
    OpenDirect,
    RemoveMember,
    RenameRoom,
    RoleChanged,
    Room,
    RoomArchived,
    RoomCreated,
    RoomRenamed,
    RoomUnarchived,
    UnarchiveRoom,
)
from chat.domain.vocabulary import Event, RoomEvent
from chat.logic.keys import account_key
from chat.logic.mediator import Context
from chat.logic.roles import RANK, acting, may_see, permit

Decided = tuple[Room, list[RoomEvent]]
Folded = tuple[Room, list[Event]]

# ---- what may happen


def create_room(room: Room, command: CreateRoom, context: Context) -> Decided:
    """The creator is its owner. A direct room is opened, not created."""
    acting(context)
    if command.kind == "direct":
        raise Refused("malformed", "A direct room is opened with open_direct.", field="kind")
    others = [account for account in dict.fromkeys(command.members) if account != context.actor]
    _can_come(others, context, "members")
    _has_space([context.actor], context)
    fresh = context.fresh
    return room, [
        RoomCreated(room=fresh, title=command.title, kind=command.kind),
        MemberAdded(room=fresh, account=context.actor, role="owner"),
        *(MemberAdded(room=fresh, account=account, role="member") for account in others),
    ]


def open_direct(direct: Direct, command: OpenDirect, context: Context) -> tuple[Direct, list[RoomEvent]]:
    """The room of these two, made the first time that either asks for it."""
    acting(context)
    if command.account == context.actor:
        raise Refused("malformed", "A direct room takes somebody else.", field="account")
    if direct.room:
        return direct, []
    _can_come([command.account], context, "account")
    _has_space([context.actor], context)
    fresh, pair = context.fresh, (context.actor, command.account)
    return direct, [
        RoomCreated(room=fresh, title="", kind="direct", between=pair),
        *(MemberAdded(room=fresh, account=account, role="member") for account in pair),
    ]


def rename_room(room: Room, command: RenameRoom, context: Context) -> Decided:
    permit(room, command, context)
    if room.title == command.title:
        return room, []
    return room, [RoomRenamed(room=command.room, title=command.title)]


def archive_room(room: Room, command: ArchiveRoom, context: Context) -> Decided:
    permit(room, command, context)
    return room, [] if room.archived else [RoomArchived(room=command.room)]


def unarchive_room(room: Room, command: UnarchiveRoom, context: Context) -> Decided:
    permit(room, command, context)
    return room, [RoomUnarchived(room=command.room)] if room.archived else []


def join_room(room: Room, command: JoinRoom, context: Context) -> Decided:
    """Anybody may join a public room, unless removed from it."""
    acting(context)
    may_see(room, context)
    if context.actor in room.members:
        return room, []
    if context.actor in room.barred:
        raise Refused("barred")
    _is_open(room)
    _has_space([context.actor], context)
    return room, [MemberAdded(room=command.room, account=context.actor, role="member")]


def add_member(room: Room, command: AddMember, context: Context) -> Decided:
    permit(room, command, context)
    if command.account in room.members:
        return room, []
    _is_open(room)
    _can_come([command.account], context, "account")
    return room, [MemberAdded(room=command.room, account=command.account, role="member")]


def leave_room(room: Room, command: LeaveRoom, context: Context) -> Decided:
    permit(room, command, context)
    _keeps_an_owner(room, context.actor)
    return room, [MemberRemoved(room=command.room, account=context.actor)]


def remove_member(room: Room, command: RemoveMember, context: Context) -> Decided:
    """Takes out somebody of a role no higher than one's own, and bars the way back."""
    role = permit(room, command, context)
    if command.account == context.actor:
        raise Refused("malformed", "To go oneself, leave_room.", field="account")
    theirs = room.members.get(command.account)
    if theirs is None:
        return room, []
    if RANK[theirs] > RANK[role]:
        raise Refused("forbidden", "An admin cannot remove an owner.")
    return room, [MemberRemoved(room=command.room, account=command.account)]


def change_role(room: Room, command: ChangeRole, context: Context) -> Decided:
    permit(room, command, context)
    theirs = room.members.get(command.account)
    if theirs is None:
        raise Refused("not_found", "This account is not a member of the room.", field="account")
    if theirs == command.role:
        return room, []
    _keeps_an_owner(room, command.account)
    return room, [RoleChanged(room=command.room, account=command.account, role=command.role)]


def _can_come(newcomers: Iterable[str], context: Context, field: str) -> None:
    """They are accounts in use, with space for one more room."""
    accounts = context.look_all([account_key(account) for account in newcomers], Account)
    if not all(account.name and account.active for account in accounts):
        raise Refused("not_found", "There is no such account.", field=field)
    _has_space(newcomers, context)


def _has_space(newcomers: Iterable[str], context: Context) -> None:
    accounts = context.look_all([account_key(account) for account in newcomers], Account)
    if any(len(account.rooms) >= limits.ACCOUNT_ROOMS for account in accounts):
        raise Refused("full", f"An account is a member of at most {limits.ACCOUNT_ROOMS} rooms.")


def _is_open(room: Room) -> None:
    if room.archived:
        raise Refused("archived")
    if len(room.members) >= limits.ROOM_MEMBERS:
        raise Refused("full", f"A room has at most {limits.ROOM_MEMBERS} members.")


def _keeps_an_owner(room: Room, going: str) -> None:
    if [account for account, role in room.members.items() if role == "owner"] == [going]:
        raise Refused("last_owner")


# ---- what has happened


def room_created(room: Room, event: RoomCreated, _: Context) -> Folded:
    return replace(room, title=event.title, kind=event.kind), []


def direct_opened(direct: Direct, event: RoomCreated, _: Context) -> tuple[Direct, list[Event]]:
    return replace(direct, room=event.room), []


def room_renamed(room: Room, event: RoomRenamed, _: Context) -> Folded:
    return replace(room, title=event.title), []


def room_archived(room: Room, _: RoomArchived, __: Context) -> Folded:
    return replace(room, archived=True), []


def room_unarchived(room: Room, _: RoomUnarchived, __: Context) -> Folded:
    return replace(room, archived=False), []


def member_added(room: Room, event: MemberAdded, _: Context) -> Folded:
    barred = tuple(account for account in room.barred if account != event.account)
    return replace(room, members=room.members | {event.account: event.role}, barred=barred), []


def member_removed(room: Room, event: MemberRemoved, _: Context) -> Folded:
    members = {account: role for account, role in room.members.items() if account != event.account}
    barred = room.barred if event.by == event.account else (*room.barred, event.account)
    return replace(room, members=members, barred=barred), []


def role_changed(room: Room, event: RoleChanged, _: Context) -> Folded:
    return replace(room, members=room.members | {event.account: event.role}), []


def came(account: Account, event: MemberAdded, _: Context) -> tuple[Account, list[Event]]:
    """What was said before somebody came is not news to them."""
    return replace(account, rooms=account.rooms | {event.room: Reading(read=event.seq)}), []


def went(account: Account, event: MemberRemoved, _: Context) -> tuple[Account, list[Event]]:
    rooms = {room: reading for room, reading in account.rooms.items() if room != event.room}
    return replace(account, rooms=rooms), []
