"""Rules of accounts: names, passwords and roles, and the invitations that let somebody in."""

from datetime import timedelta

from msgspec.structs import replace

from chat.domain import limits
from chat.domain.accounts import (
    Account,
    AccountDeactivated,
    AccountPromoted,
    AccountReactivated,
    AccountRegistered,
    AccountRenamed,
    ChangePassword,
    CreateBot,
    CreateInvite,
    DeactivateAccount,
    Invite,
    InviteCreated,
    InviteRevoked,
    InviteUsed,
    PasswordSet,
    PromoteAccount,
    ReactivateAccount,
    Register,
    RenameAccount,
    ResetPassword,
    RevokeInvite,
    Server,
    SetPassword,
    TakenName,
)
from chat.domain.errors import Refused
from chat.domain.rooms import MemberAdded, Room
from chat.domain.vocabulary import Event
from chat.logic.keys import SERVER, invite_key, name_key, room_key
from chat.logic.mediator import Context
from chat.logic.roles import RANK, acting, permit_on_server, standing
from chat.logic.sessions import end_sessions, later, start_session

Decided = tuple[Account, list[Event]]
Folded = tuple[Account, list[Event]]

# ---- what may happen


def register(account: Account, command: Register, context: Context) -> Decided:
    """The first account owns the server and needs no invitation, or the set-up link where one is asked for."""
    server = context.look(SERVER, Server)
    first = not server.accounts
    if first and context.setup and command.invite != context.setup:
        raise Refused("forbidden", "The first account takes the set-up link from the server's log.")
    invited = [] if first else _invited(command.invite, context)
    _is_free(command.name, context.fresh, context)  # last: who may not register learns of no names
    return account, [
        AccountRegistered(account=context.fresh, name=command.name, role="owner" if first else "member"),
        PasswordSet(account=context.fresh, password=command.password),
        *invited,
        *start_session(account, context.fresh, command.token, context),
    ]


def _invited(invitation: str | None, context: Context) -> list[Event]:
    """What an invitation brings: that it is used, and the rooms that it opens. Raises `Refused`."""
    if context.registration == "closed":
        raise Refused("closed", "Registration is closed.")
    if invitation is None:
        if context.registration == "open":
            return []
        raise Refused("closed")
    invite = context.look(invite_key(invitation), Invite)
    if not is_usable(invite, context.now):
        raise Refused("used_up")
    rooms = context.look_all([room_key(room) for room in invite.rooms], Room)
    return [
        InviteUsed(account=context.fresh, invite=invitation),
        *(
            MemberAdded(room=name, account=context.fresh, role="member")
            for name, room in zip(invite.rooms, rooms, strict=True)
            if not room.archived and len(room.members) < limits.ROOM_MEMBERS
        ),
    ]


def is_usable(invite: Invite, now: str) -> bool:
    return bool(invite.by) and not invite.revoked and invite.used < invite.uses and now < invite.expires


def rename_account(account: Account, command: RenameAccount, context: Context) -> Decided:
    acting(context)
    if account.name == command.name:
        return account, []
    _is_free(command.name, context.actor, context)
    return account, [AccountRenamed(account=context.actor, name=command.name)]


def _is_free(name: str, account: str, context: Context) -> None:
    """A name once taken stays its account's, also when that goes by another."""
    if context.look(name_key(name), TakenName).account not in ("", account):
        raise Refused("name_taken", field="name")


def change_password(account: Account, command: ChangePassword, context: Context) -> Decided:
    acting(context)
    if account.password != command.old:
        raise Refused("wrong_credentials", "The old password is wrong.", field="old")
    return account, [
        PasswordSet(account=context.actor, password=command.new),
        *end_sessions(account, context.actor, spare=context.session),
    ]


def reset_password(account: Account, command: ResetPassword, context: Context) -> Decided:
    _outranks(account, permit_on_server(command, context), "reset the password of")
    if account.bot:
        raise Refused("forbidden", "A bot has no password.")
    return account, [
        PasswordSet(account=command.account, password=command.password, one_time=True),
        *end_sessions(account, command.account),
    ]


def set_password(account: Account, command: SetPassword, _: Context) -> Decided:
    """By hand: who may do this can reach the database itself."""
    _is_known(account)
    if account.bot:
        raise Refused("forbidden", "A bot has no password.")
    return account, [
        PasswordSet(account=command.account, password=command.password),
        *end_sessions(account, command.account),
    ]


def promote_account(account: Account, command: PromoteAccount, context: Context) -> Decided:
    permit_on_server(command, context)
    _is_known(account)
    if account.role == command.role:
        return account, []
    if account.bot and command.role == "owner":
        raise Refused("forbidden", "A bot cannot own the server.")
    if not account.active and command.role == "owner":
        raise Refused("forbidden", "Somebody deactivated cannot own the server.")
    _leaves_an_owner(command.account, context)
    return account, [AccountPromoted(account=command.account, role=command.role)]


def deactivate_account(account: Account, command: DeactivateAccount, context: Context) -> Decided:
    _outranks(account, permit_on_server(command, context), "deactivate")
    if not account.active:
        return account, []
    _leaves_an_owner(command.account, context)
    return account, [
        AccountDeactivated(account=command.account),
        *end_sessions(account, command.account),
    ]


def reactivate_account(account: Account, command: ReactivateAccount, context: Context) -> Decided:
    _outranks(account, permit_on_server(command, context), "reactivate")
    if account.active:
        return account, []
    return account, [AccountReactivated(account=command.account, role=account.role)]


def create_bot(account: Account, command: CreateBot, context: Context) -> Decided:
    """A bot is an account without a password, and with one token that does not expire."""
    permit_on_server(command, context)
    _is_free(command.name, context.fresh, context)
    return account, [
        AccountRegistered(account=context.fresh, name=command.name, role="member", bot=True),
        *start_session(account, context.fresh, command.token, context, expires="9999-12-31T23:59:59.999999Z"),
    ]


def create_invite(invite: Invite, command: CreateInvite, context: Context) -> tuple[Invite, list[Event]]:
    """May open rooms to the invited in which the inviter could add them by hand."""
    inviter = permit_on_server(command, context)
    rooms = context.look_all([room_key(room) for room in command.rooms], Room)
    for room in rooms:
        role = standing(room, inviter, context.actor)
        if role is None or RANK[role] < RANK["admin"] or room.kind == "direct":
            raise Refused("not_found", "There is no such room that you could add members to.", field="rooms")
    return invite, [
        InviteCreated(
            account=context.actor,
            invite=command.invite,
            uses=command.uses,
            expires=later(context.now, timedelta(hours=command.hours)),
            rooms=tuple(dict.fromkeys(command.rooms)),
        )
    ]


def revoke_invite(invite: Invite, command: RevokeInvite, context: Context) -> tuple[Invite, list[Event]]:
    permit_on_server(command, context)
    if not invite.by:
        raise Refused("not_found", "There is no such invitation.", field="invite")
    return invite, [] if invite.revoked else [InviteRevoked(account=context.actor, invite=command.invite)]


def _is_known(account: Account) -> None:
    if not account.name:
        raise Refused("not_found", "There is no such account.", field="account")


def _outranks(account: Account, admin: Account, deed: str) -> None:
    """Admins act on accounts of no higher role than their own."""
    _is_known(account)
    if RANK[account.role] > RANK[admin.role]:
        raise Refused("forbidden", f"An admin cannot {deed} an owner.")


def _leaves_an_owner(account: str, context: Context) -> None:
    if context.look(SERVER, Server).owners == (account,):
        raise Refused("last_owner")


# ---- what has happened


def account_registered(account: Account, event: AccountRegistered, _: Context) -> Folded:
    return replace(account, name=event.name, role=event.role, bot=event.bot), []


def account_counted(server: Server, event: AccountRegistered, _: Context) -> tuple[Server, list[Event]]:
    owners = (*server.owners, event.account) if event.role == "owner" else server.owners
    return replace(server, accounts=server.accounts + 1, owners=owners), []


def name_taken(name: TakenName, event: AccountRegistered | AccountRenamed, _: Context) -> tuple[TakenName, list[Event]]:
    return replace(name, account=event.account), []


def account_renamed(account: Account, event: AccountRenamed, _: Context) -> Folded:
    return replace(account, name=event.name), []


def password_set(account: Account, event: PasswordSet, _: Context) -> Folded:
    return replace(account, password=event.password, one_time=event.one_time, spent=False), []


def account_promoted(account: Account, event: AccountPromoted, _: Context) -> Folded:
    return replace(account, role=event.role), []


def owner_promoted(server: Server, event: AccountPromoted, _: Context) -> tuple[Server, list[Event]]:
    others = tuple(owner for owner in server.owners if owner != event.account)
    return replace(server, owners=(*others, event.account) if event.role == "owner" else others), []


def account_deactivated(account: Account, _: AccountDeactivated, __: Context) -> Folded:
    return replace(account, active=False), []


def owner_deactivated(server: Server, event: AccountDeactivated, _: Context) -> tuple[Server, list[Event]]:
    return replace(server, owners=tuple(owner for owner in server.owners if owner != event.account)), []


def account_reactivated(account: Account, _: AccountReactivated, __: Context) -> Folded:
    return replace(account, active=True), []


def owner_reactivated(server: Server, event: AccountReactivated, _: Context) -> tuple[Server, list[Event]]:
    owners = (*server.owners, event.account) if event.role == "owner" else server.owners
    return replace(server, owners=owners), []


def invite_created(invite: Invite, event: InviteCreated, _: Context) -> tuple[Invite, list[Event]]:
    return replace(invite, by=event.by, uses=event.uses, expires=event.expires, rooms=event.rooms), []


def invite_used(invite: Invite, _: InviteUsed, __: Context) -> tuple[Invite, list[Event]]:
    return replace(invite, used=invite.used + 1), []


def invite_revoked(invite: Invite, _: InviteRevoked, __: Context) -> tuple[Invite, list[Event]]:
    return replace(invite, revoked=True), []
