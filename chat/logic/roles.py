"""Who may do what. The two tables are the whole truth; a command that is in neither needs an account and no more.

A role counts as every lesser one. In a room, an admin of the server who is a member counts as an admin of the room.
What somebody may not even see is "not found", so that nobody learns of a private room by asking.
"""

from typing import Final

from chat.domain import accounts, messages, rooms
from chat.domain.accounts import Account
from chat.domain.errors import Refused
from chat.domain.rooms import Room
from chat.domain.vocabulary import Command, Query, Role
from chat.logic.keys import account_key
from chat.logic.mediator import Context

RANK: Final[dict[Role, int]] = {"member": 1, "admin": 2, "owner": 3}

IN_ROOM: Final[dict[type[Command | Query], Role]] = {
    messages.SendMessage: "member",
    messages.EditMessage: "member",
    messages.DeleteMessage: "member",
    messages.AddReaction: "member",
    messages.RemoveReaction: "member",
    messages.MarkRead: "member",
    rooms.LeaveRoom: "member",
    messages.PinMessage: "admin",
    messages.UnpinMessage: "admin",
    rooms.RenameRoom: "admin",
    rooms.ArchiveRoom: "admin",
    rooms.UnarchiveRoom: "admin",
    rooms.AddMember: "admin",
    rooms.RemoveMember: "admin",
    rooms.ChangeRole: "owner",
    rooms.ListMembers: "member",
    rooms.WhoIsOnline: "member",
    messages.ListMessages: "member",
    messages.SearchMessages: "member",
}

ON_SERVER: Final[dict[type[Command | Query], Role]] = {
    accounts.CreateInvite: "admin",
    accounts.RevokeInvite: "admin",
    accounts.ListInvites: "admin",
    accounts.CreateBot: "admin",
    accounts.ResetPassword: "admin",
    accounts.DeactivateAccount: "admin",
    accounts.ReactivateAccount: "admin",
    accounts.PromoteAccount: "owner",
}

# What an archived room still allows: reading, leaving, taking people and words out, and opening it again.
WHILE_ARCHIVED: Final = frozenset(
    {
        rooms.UnarchiveRoom,
        rooms.ArchiveRoom,
        rooms.LeaveRoom,
        rooms.RemoveMember,
        rooms.ChangeRole,
        messages.DeleteMessage,
        messages.MarkRead,
    }
)

# What a direct room never allows: it has its two members for ever, and nobody is above the other.
NEVER_DIRECT: Final = frozenset(
    {
        rooms.RenameRoom,
        rooms.ArchiveRoom,
        rooms.UnarchiveRoom,
        rooms.JoinRoom,
        rooms.LeaveRoom,
        rooms.AddMember,
        rooms.RemoveMember,
        rooms.ChangeRole,
    }
)


def acting(context: Context) -> Account:
    """The account that asks. Raises `Refused` when it may no longer, or when the session that it asks by is over."""
    account = context.look(account_key(context.actor), Account)
    if not account.name or not account.active or (context.session and not lasts(account, context.session, context.now)):
        raise Refused("unauthenticated")
    return account


def lasts(account: Account, session: str, now: str) -> bool:
    """Whether a session has neither ended nor expired."""
    found = account.sessions.get(session)
    return found is not None and now < found.expires


def standing(room: Room, account: Account, actor: str) -> Role | None:
    """The role that counts in a room, or None for somebody who is not a member."""
    role = room.members.get(actor)
    raised = role == "member" and account.role != "member" and room.kind != "direct"
    return "admin" if raised else role


def can_see(room: Room, context: Context) -> bool:
    """Anybody may know of a public room, only members of another."""
    return room.kind == "public" or context.actor in room.members


def may_see(room: Room, context: Context) -> None:
    """Raises `Refused` alike whether the room is hidden or not there at all."""
    if not can_see(room, context):
        raise Refused("not_found", "There is no such room, or you cannot see it.", field="room")


def permit(room: Room, message: Command | Query, context: Context) -> Role:
    """The role in which `message` may be carried out in `room`; raises `Refused` when it may not."""
    account = acting(context)
    may_see(room, context)
    role = standing(room, account, context.actor)
    if role is None:
        raise Refused("not_a_member")
    kind = type(message)
    if room.kind == "direct" and kind in NEVER_DIRECT:
        raise Refused("forbidden", "A direct room stays as it is.")
    if RANK[role] < RANK[IN_ROOM[kind]] and not (room.kind == "direct" and IN_ROOM[kind] == "admin"):
        raise Refused("forbidden", f"This takes the role {IN_ROOM[kind]} in the room; yours is {role}.")
    if room.archived and isinstance(message, Command) and kind not in WHILE_ARCHIVED:
        raise Refused("archived")
    return role


def permit_on_server(message: Command | Query, context: Context) -> Account:
    """The account that asks, where its role on the server allows `message`; raises `Refused` elsewhere."""
    account = acting(context)
    least = ON_SERVER.get(type(message), "member")
    if RANK[account.role] < RANK[least]:
        raise Refused("forbidden", f"This takes the role {least} on the server; yours is {account.role}.")
    return account
