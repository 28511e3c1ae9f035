"""An account, its sessions, and the invitations by which others get one.

Rules never see a password or a token, only hashes. What a person types is a *form*, on the wire under the name of
the command that is made of it once its secrets are hashed or verified.
"""

from msgspec import Struct, field

from chat.domain.limits import (
    INVITE_HOURS,
    Hours,
    Id,
    Ids,
    Name,
    NewPassword,
    Password,
    Secret,
    Uses,
    Words,
)
from chat.domain.vocabulary import AccountEvent, Command, PrivateEvent, PublicEvent, Query, Role, State


class Session(Struct, frozen=True, kw_only=True):
    """Good until `expires`, an RFC 3339 time, for whoever holds the token of this hash."""

    token: str
    started: str
    expires: str


class Reading(Struct, frozen=True, kw_only=True):
    """How far an account has read in a room, and the messages behind that which mention it."""

    read: int = 0
    mentions: tuple[int, ...] = ()


class Account(State, frozen=True, kw_only=True):
    """`name` is empty until the account is registered. A one-time password is spent by logging in with it."""

    name: str = ""
    role: Role = "member"
    bot: bool = False
    active: bool = True
    password: str = ""
    one_time: bool = False
    spent: bool = False
    sessions: dict[str, Session] = field(default_factory=dict)  # oldest first
    rooms: dict[str, Reading] = field(default_factory=dict)


class TakenName(State, frozen=True, kw_only=True):
    """Whose a folded name is, for ever."""

    account: str = ""


class Invite(State, frozen=True, kw_only=True):
    """Named by the hash of its token. `by` is empty until it is created."""

    by: str = ""
    uses: int = 0
    used: int = 0
    expires: str = ""
    rooms: tuple[str, ...] = ()
    revoked: bool = False


class Server(State, frozen=True, kw_only=True):
    """How many accounts there ever were, and the active owners among them."""

    accounts: int = 0
    owners: tuple[str, ...] = ()


class RegisterForm(Command, frozen=True, kw_only=True, tag="register"):
    name: Name
    password: NewPassword
    invite: Secret | None = None


class Register(Command, frozen=True, kw_only=True):
    """`password`, `invite` and `token` are hashes."""

    name: str
    password: str
    token: str
    invite: str | None = None


class LogInForm(Command, frozen=True, kw_only=True, tag="log_in"):
    name: Words
    password: Password


class LogIn(Command, frozen=True, kw_only=True):
    """`password` is the hash that was verified; refused if the account's is another by now."""

    account: str
    password: str
    token: str


class LogOut(Command, frozen=True, kw_only=True):
    """Ends the session that asks."""


class EndSession(Command, frozen=True, kw_only=True):
    session: Id


class ChangePasswordForm(Command, frozen=True, kw_only=True, tag="change_password"):
    old: Password
    new: NewPassword


class ChangePassword(Command, frozen=True, kw_only=True):
    """`old` is the hash that was verified, `new` the hash to be. Ends the other sessions."""

    old: str
    new: str


class RenameAccount(Command, frozen=True, kw_only=True):
    name: Name


class CreateInviteForm(Command, frozen=True, kw_only=True, tag="create_invite"):
    uses: Uses = 1
    hours: Hours = INVITE_HOURS
    rooms: Ids = ()


class CreateInvite(Command, frozen=True, kw_only=True):
    """`invite` is the hash of its token."""

    invite: str
    uses: int = 1
    hours: int = INVITE_HOURS
    rooms: tuple[str, ...] = ()


class RevokeInvite(Command, frozen=True, kw_only=True):
    invite: Id


class PromoteAccount(Command, frozen=True, kw_only=True):
    account: Id
    role: Role


class ResetPasswordForm(Command, frozen=True, kw_only=True, tag="reset_password"):
    account: Id


class ResetPassword(Command, frozen=True, kw_only=True):
    """`password` is the hash of a one-time password. Ends every session of the account."""

    account: str
    password: str


class SetPassword(Command, frozen=True, kw_only=True):
    """Wished by whoever runs the server, at no door. `password` is a hash. Ends every session of the account."""

    account: str
    password: str


class DeactivateAccount(Command, frozen=True, kw_only=True):
    account: Id


class ReactivateAccount(Command, frozen=True, kw_only=True):
    account: Id


class CreateBotForm(Command, frozen=True, kw_only=True, tag="create_bot"):
    name: Name


class CreateBot(Command, frozen=True, kw_only=True):
    """`token` is the hash of the bot's token, which does not expire."""

    name: str
    token: str


class AccountRegistered(PublicEvent, frozen=True, kw_only=True):
    name: str
    role: Role
    bot: bool = False


class AccountRenamed(PublicEvent, frozen=True, kw_only=True):
    name: str


class AccountDeactivated(PublicEvent, frozen=True, kw_only=True):
    pass


class AccountReactivated(PublicEvent, frozen=True, kw_only=True):
    role: Role


class AccountPromoted(PublicEvent, frozen=True, kw_only=True):
    """The account has another role on the server, higher or lower."""

    role: Role


class SessionStarted(AccountEvent, frozen=True, kw_only=True):
    session: str
    expires: str


class SessionEnded(AccountEvent, frozen=True, kw_only=True):
    session: str


class PasswordSet(PrivateEvent, frozen=True, kw_only=True):
    password: str
    one_time: bool = False


class PasswordSpent(PrivateEvent, frozen=True, kw_only=True):
    """A one-time password was used to log in."""


class TokenIssued(PrivateEvent, frozen=True, kw_only=True):
    session: str
    token: str
    expires: str


class InviteEvent(PrivateEvent, frozen=True, kw_only=True):
    invite: str

    @property
    def stream(self) -> str:
        return f"invite:{self.invite}"


class InviteCreated(InviteEvent, frozen=True, kw_only=True):
    uses: int
    expires: str
    rooms: tuple[str, ...] = ()


class InviteUsed(InviteEvent, frozen=True, kw_only=True):
    pass


class InviteRevoked(InviteEvent, frozen=True, kw_only=True):
    pass


class Welcome(Query, frozen=True, kw_only=True):
    """What somebody who is not logged in may know: whether an owner is missing, and how to get an account."""


class Me(Query, frozen=True, kw_only=True):
    pass


class ListAccounts(Query, frozen=True, kw_only=True):
    """Accounts by id, or those whose name holds `text`, behind the account `after`."""

    text: Words = ""
    accounts: Ids | None = None
    after: Id | None = None


class ListSessions(Query, frozen=True, kw_only=True):
    pass


class ListInvites(Query, frozen=True, kw_only=True):
    pass
