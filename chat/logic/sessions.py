"""Rules of sessions: who is logged in, since when, and until when.

Expiry is a comparison when a session is used, never an event; a session that ended is an event, and closes its sockets.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from chat.domain import limits
from chat.domain.accounts import (
    Account,
    EndSession,
    LogIn,
    LogOut,
    PasswordSpent,
    Session,
    SessionEnded,
    SessionStarted,
    TokenIssued,
)
from chat.domain.errors import Refused
from chat.domain.vocabulary import Event
from chat.logic.mediator import Context
from chat.logic.roles import acting, lasts

Decided = tuple[Account, list[Event]]
Folded = tuple[Account, list[Event]]

# ---- what may happen


def log_in(account: Account, command: LogIn, context: Context) -> Decided:
    """Every reason to refuse reads the same, so that nobody learns which names exist."""
    password = password_of(account)
    if not password or password != command.password:
        raise Refused("wrong_credentials")
    return account, [
        *([PasswordSpent(account=command.account)] if account.one_time else []),
        *start_session(account, command.account, command.token, context),
    ]


def password_of(account: Account) -> str:
    """The hash of the password that lets its owner in; empty where none does."""
    return account.password if account.name and account.active and not account.spent else ""


def log_out(account: Account, command: LogOut, context: Context) -> Decided:
    acting(context)
    return account, _ended(account, context.actor, [context.session])


def end_session(account: Account, command: EndSession, context: Context) -> Decided:
    acting(context)
    return account, _ended(account, context.actor, [command.session])


def start_session(
    account: Account, name: str, token: str, context: Context, *, expires: str | None = None
) -> list[Event]:
    """A session named by the fresh id. The oldest ones end, so that no account holds more than its share."""
    until = expires or later(context.now, timedelta(days=limits.SESSION_DAYS))
    oldest = list(account.sessions)[: max(0, len(account.sessions) + 1 - limits.ACCOUNT_SESSIONS)]
    return [
        *_ended(account, name, oldest),
        TokenIssued(account=name, session=context.fresh, token=token, expires=until),
        SessionStarted(account=name, session=context.fresh, expires=until),
    ]


def end_sessions(account: Account, name: str, spare: str = "") -> list[Event]:
    return _ended(account, name, [session for session in account.sessions if session != spare])


def _ended(account: Account, name: str, sessions: list[str]) -> list[Event]:
    return [SessionEnded(account=name, session=session) for session in sessions if session in account.sessions]


def living_session(account: Account, token: str, now: str) -> str | None:
    """The session that a token of this hash opens, if it does."""
    for name, session in account.sessions.items():
        if session.token == token:
            return name if is_living(account, name, now) else None
    return None


def is_living(account: Account, session: str, now: str) -> bool:
    return account.active and lasts(account, session, now)


def later(now: str, span: timedelta) -> str:
    """The time `span` after `now`, in the same form, so that the two compare as strings."""
    moment = datetime.fromisoformat(now) + span
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


# ---- what has happened


def token_issued(account: Account, event: TokenIssued, _: Context) -> Folded:
    session = Session(token=event.token, started=event.at, expires=event.expires)
    return replace(account, sessions=account.sessions | {event.session: session}), []


def session_ended(account: Account, event: SessionEnded, _: Context) -> Folded:
    left = {name: session for name, session in account.sessions.items() if name != event.session}
    return replace(account, sessions=left), []


def password_spent(account: Account, _: PasswordSpent, __: Context) -> Folded:
    return replace(account, spent=True), []
