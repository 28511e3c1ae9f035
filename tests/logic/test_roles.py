"""Who may do what: the table of the public interface, row by row, against everybody who might ask."""

import msgspec
import pytest

from chat.domain.accounts import (
    AccountDeactivated,
    AccountPromoted,
    ChangePassword,
    CreateBot,
    CreateInvite,
    DeactivateAccount,
    EndSession,
    InviteCreated,
    ListAccounts,
    ListInvites,
    ListSessions,
    LogOut,
    Me,
    PromoteAccount,
    ReactivateAccount,
    RenameAccount,
    ResetPassword,
    RevokeInvite,
)
from chat.domain.messages import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    ListMessages,
    MarkRead,
    MessageSent,
    PinMessage,
    RemoveReaction,
    SearchMessages,
    SendMessage,
    UnpinMessage,
)
from chat.domain.rooms import (
    AddMember,
    ArchiveRoom,
    BrowseRooms,
    ChangeRole,
    CreateRoom,
    JoinRoom,
    LeaveRoom,
    ListMembers,
    ListRooms,
    MemberAdded,
    OpenDirect,
    RemoveMember,
    RenameRoom,
    RoomArchived,
    ShowRoom,
    UnarchiveRoom,
    WhoIsOnline,
)
from chat.domain.vocabulary import Command, Kind, Query, Role
from tests.logic.given import Given, given, room

OWN, OTHERS = 3, 4  # the seqs of a message of dan's, and of ann's

# | who may | least role |, of the public interface. Everything happens in the room "den".
Row = tuple[str, Command | Query]
IN_ROOM: dict[str, Row] = {
    "send": ("member", SendMessage(room="den", text="hi")),
    "react": ("member", AddReaction(room="den", message=OTHERS, emoji="+1")),
    "take a reaction back": ("member", RemoveReaction(room="den", message=OTHERS, emoji="+1")),
    "mark": ("member", MarkRead(room="den", message=OTHERS)),
    "leave": ("member", LeaveRoom(room="den")),
    "edit one's own": ("member", EditMessage(room="den", message=OWN, text="ho")),
    "delete one's own": ("member", DeleteMessage(room="den", message=OWN)),
    "rename": ("admin", RenameRoom(room="den", title="Lair")),
    "archive": ("admin", ArchiveRoom(room="den")),
    "unarchive": ("admin", UnarchiveRoom(room="den")),
    "pin": ("admin", PinMessage(room="den", message=OTHERS)),
    "unpin": ("admin", UnpinMessage(room="den", message=OTHERS)),
    "add members": ("admin", AddMember(room="den", account="cat")),
    "remove members": ("admin", RemoveMember(room="den", account="bob")),
    "delete others' messages": ("admin", DeleteMessage(room="den", message=OTHERS)),
    "change room roles": ("owner", ChangeRole(room="den", account="bob", role="admin")),
    # What is in a room is read by its members.
    "list members": ("member", ListMembers(room="den")),
    "list messages": ("member", ListMessages(room="den")),
    "search": ("member", SearchMessages(room="den", text="hi")),
    "see who is online": ("member", WhoIsOnline(room="den")),
}
WITH_AN_ACCOUNT: dict[str, Row] = {
    "join a public room": ("", JoinRoom(room="den")),
    "open a direct one": ("", OpenDirect(account="bob")),
    "create a room": ("", CreateRoom(title="Den", kind="private")),
}
ON_SERVER: dict[str, Row] = {
    "invite": ("admin", CreateInvite(invite="another")),
    "revoke an invitation": ("admin", RevokeInvite(invite="open")),
    "list invitations": ("admin", ListInvites()),
    "make a bot": ("admin", CreateBot(name="helper", token="hash")),
    "deactivate": ("admin", DeactivateAccount(account="bob")),
    "reactivate": ("admin", ReactivateAccount(account="gone")),
    "reset a password": ("admin", ResetPassword(account="bob", password="hash")),
    "promote accounts": ("owner", PromoteAccount(account="bob", role="admin")),
}
ON_ONESELF: dict[str, Row] = {
    "log out": ("", LogOut()),
    "end a session": ("", EndSession(session="s")),
    "change one's password": ("", ChangePassword(old="", new="hash")),
    "rename oneself": ("", RenameAccount(name="daniel")),
    "see oneself": ("", Me()),
    "list one's rooms": ("", ListRooms()),
    "browse rooms": ("", BrowseRooms()),
    "list accounts": ("", ListAccounts()),
    "list one's sessions": ("", ListSessions()),
    "see a room": ("", ShowRoom(room="den")),
}
EVERYTHING = IN_ROOM | WITH_AN_ACCOUNT | ON_SERVER | ON_ONESELF

# What somebody is in the room and on the server, and what they count as in the room.
STANDINGS: dict[str, tuple[Role | None, Role, str]] = {
    "an outsider": (None, "member", "nobody"),
    "a server admin outside": (None, "admin", "nobody"),
    "a server owner outside": (None, "owner", "nobody"),
    "a member": ("member", "member", "member"),
    "an admin": ("admin", "member", "admin"),
    "an owner": ("owner", "member", "owner"),
    "a server admin inside": ("member", "admin", "admin"),
    "a server owner inside": ("member", "owner", "admin"),
    "an owner and server admin": ("owner", "admin", "owner"),
}
ALLOWS = {"nobody": "", "member": "member", "admin": "member admin", "owner": "member admin owner"}

INVITE = InviteCreated(invite="open", uses=1, expires="2027-01-01T00:00:00.000000Z", by="olga")


def den(kind: Kind, in_room: Role | None, on_server: Role) -> Given:
    """A room of ann's and bob's, in which dan once wrote and may or may not be."""
    world = given(
        room("den", kind, ann="owner"),
        MessageSent(room="den", author="dan", text="mine"),
        MessageSent(room="den", author="ann", text="not mine"),
        MemberAdded(room="den", account="bob", role="member"),
        INVITE,
        [MemberAdded(room="den", account="dan", role=in_room)] if in_room else [],
    )
    return world if on_server == "member" else world.after(AccountPromoted(account="dan", role=on_server))


def told(world: Given, message: Command | Query, actor: str = "dan") -> str:
    """Yes, or the code with which it is refused."""
    asked = world.when(actor, message) if isinstance(message, Command) else world.asks(actor, message)
    return asked.refusal.code if asked.refusal else "yes"


@pytest.mark.parametrize(("kind", "outside"), [("public", "not_a_member"), ("private", "not_found")])
@pytest.mark.parametrize("deed", IN_ROOM)
def test_a_room_allows_what_the_role_in_it_allows(deed: str, kind: Kind, outside: str) -> None:
    least, message = IN_ROOM[deed]
    found = {who: told(den(kind, own, server), message) for who, (own, server, _) in STANDINGS.items()}
    assert found == {who: expected(counts, least, outside) for who, (_, _, counts) in STANDINGS.items()}


def expected(counts: str, least: str, outside: str) -> str:
    if counts == "nobody":
        return outside
    return "yes" if least in ALLOWS[counts].split() else "forbidden"


@pytest.mark.parametrize("deed", WITH_AN_ACCOUNT)
def test_an_account_is_enough_to_join_to_open_and_to_create(deed: str) -> None:
    _, message = WITH_AN_ACCOUNT[deed]
    assert told(den("public", None, "member"), message) == "yes"
    assert told(den("public", None, "member"), message, "unheard-of") == "unauthenticated"


@pytest.mark.parametrize("deed", ON_SERVER)
def test_the_server_allows_what_the_role_on_it_allows(deed: str) -> None:
    least, message = ON_SERVER[deed]
    roles: list[Role] = ["member", "admin", "owner"]
    found = {role: told(den("public", "owner", role), message) for role in roles}
    assert found == {role: expected(role, least, "") for role in roles}


@pytest.mark.parametrize("deed", IN_ROOM)
def test_a_room_that_is_not_there_is_not_found(deed: str) -> None:
    elsewhere = msgspec.structs.replace(IN_ROOM[deed][1], room="nowhere")
    assert told(den("public", "owner", "owner"), elsewhere) == "not_found"


@pytest.mark.parametrize("deed", EVERYTHING)
def test_somebody_deactivated_may_do_nothing(deed: str) -> None:
    _, message = EVERYTHING[deed]
    world = den("public", "owner", "owner").after(AccountDeactivated(account="dan"))
    assert told(world, message) == "unauthenticated"


@pytest.mark.parametrize("deed", EVERYTHING)
def test_somebody_unheard_of_may_do_nothing(deed: str) -> None:
    _, message = EVERYTHING[deed]
    assert told(den("public", None, "member"), message, "unheard-of") == "unauthenticated"


# ---- archived and direct rooms

ALLOWED_WHILE_ARCHIVED = {
    "UnarchiveRoom", "ArchiveRoom", "LeaveRoom", "RemoveMember", "ChangeRole", "DeleteMessage", "MarkRead",
    "ListMembers", "ListMessages", "SearchMessages", "WhoIsOnline",
}  # fmt: skip
ALLOWED_IN_DIRECT = {
    "SendMessage", "AddReaction", "RemoveReaction", "MarkRead", "EditMessage", "PinMessage", "UnpinMessage",
    "ListMembers", "ListMessages", "SearchMessages", "WhoIsOnline",
}  # fmt: skip


@pytest.mark.parametrize("deed", IN_ROOM)
def test_an_archived_room_can_be_read_left_and_opened_again(deed: str) -> None:
    _, message = IN_ROOM[deed]
    world = den("public", "owner", "member").after(RoomArchived(room="den"))
    allowed = type(message).__name__ in ALLOWED_WHILE_ARCHIVED
    assert told(world, message) == ("yes" if allowed else "archived")


@pytest.mark.parametrize("deed", IN_ROOM)
def test_in_a_direct_room_nobody_is_above_the_other(deed: str) -> None:
    _, message = IN_ROOM[deed]
    world = den("direct", "member", "owner")
    own = isinstance(message, DeleteMessage) and message.message == OWN
    allowed = type(message).__name__ in ALLOWED_IN_DIRECT or own
    assert told(world, message) == ("yes" if allowed else "forbidden")


def test_a_refusal_names_the_role_that_it_takes() -> None:
    world = den("public", "member", "member")
    details = [
        str(world.when("dan", command).refusal) for command in (ArchiveRoom(room="den"), CreateInvite(invite="another"))
    ]
    assert details == [
        "forbidden: This takes the role admin in the room; yours is member.",
        "forbidden: This takes the role admin on the server; yours is member.",
    ]
