"""Who is logged in, since when, and until when."""

from datetime import timedelta

import pytest

from chat.domain import limits
from chat.domain.accounts import (
    Account,
    EndSession,
    LogIn,
    LogOut,
    Me,
    PasswordSet,
    PasswordSpent,
    Session,
    SessionEnded,
    SessionStarted,
    TokenIssued,
)
from chat.domain.messages import SendMessage
from chat.domain.vocabulary import Event
from chat.logic.sessions import later, living_session, password_of
from tests.logic.given import EARLIER, NOW, TEA, Given, given, sessions

IN_90_DAYS = "2026-05-01T12:00:00.000000Z"
KNOWN = PasswordSet(account="ann", password="hash")
ONCE = PasswordSet(account="ann", password="hash", one_time=True)
COMES = LogIn(account="ann", password="hash", token="token")
STARTED: list[Event] = [
    TokenIssued(account="ann", session="fresh", token="token", expires=IN_90_DAYS),
    SessionStarted(account="ann", session="fresh", expires=IN_90_DAYS),
]


def ann(world: Given) -> Account:
    return world.look("account:ann", Account)


def test_who_knows_the_password_logs_in() -> None:
    world = given(KNOWN).when("ann", COMES).then(*STARTED)
    assert ann(world).sessions == {"fresh": Session(token="token", started=NOW, expires=IN_90_DAYS)}


@pytest.mark.parametrize("account", ["ann", "unheard-of", "robot", "gone"])
def test_every_reason_not_to_let_somebody_in_reads_the_same(account: str) -> None:
    world = given(PasswordSet(account="gone", password="hash"))
    refusal = world.when(account, LogIn(account=account, password="hash", token="token")).refusal
    assert str(refusal) == "wrong_credentials: The name or the password is wrong."


def test_there_is_a_password_for_whoever_may_log_in_and_for_nobody_else() -> None:
    gone = PasswordSet(account="gone", password="hash")
    world = given(KNOWN, PasswordSet(account="bob", password="hash", one_time=True), gone)
    people = ("ann", "bob", "gone", "robot", "unheard-of")
    found = [password_of(world.look(f"account:{name}", Account)) for name in people]
    assert found == ["hash", "hash", "", "", ""]
    assert password_of(world.after(PasswordSpent(account="bob")).look("account:bob", Account)) == ""


def test_a_password_replaced_while_it_was_verified_lets_nobody_in() -> None:
    changed = PasswordSet(account="ann", password="other")
    given(KNOWN, changed).when("ann", COMES).refused("wrong_credentials")


def test_who_has_no_password_cannot_log_in_with_none() -> None:
    given().when("robot", LogIn(account="robot", password="", token="token")).refused("wrong_credentials")


def test_a_one_time_password_is_spent_by_logging_in() -> None:
    world = given(ONCE).when("ann", COMES).then(PasswordSpent(account="ann"), *STARTED)
    assert ann(world).spent
    world.when("ann", COMES).refused("wrong_credentials")


def test_the_oldest_session_ends_when_there_are_too_many() -> None:
    names = [f"s{number}" for number in range(limits.ACCOUNT_SESSIONS)]
    given(KNOWN, sessions("ann", *names[1:])).when("ann", COMES).then(*STARTED)
    world = given(KNOWN, sessions("ann", *names)).when("ann", COMES)
    after = world.then(SessionEnded(account="ann", session="s0"), *STARTED)
    assert list(ann(after).sessions) == [*names[1:], "fresh"]


def test_logging_out_ends_the_session_that_asks() -> None:
    world = given(sessions("ann", "here", "there")).when("ann", LogOut(), session="here")
    after = world.then(SessionEnded(account="ann", session="here"))
    assert list(ann(after).sessions) == ["there"]
    after.when("ann", LogOut(), session="here").refused("unauthenticated")


def test_a_session_that_has_ended_wishes_for_nothing_more() -> None:
    world = given(TEA, sessions("ann", "there"))
    said = SendMessage(room="tea", text="hi")
    world.when("ann", said, session="here").refused("unauthenticated")
    assert world.when("ann", said, session="there").refusal is None


def test_a_session_that_has_expired_wishes_for_nothing_and_is_told_nothing() -> None:
    world = given(TEA, sessions("ann", "here"))
    expires = ann(world).sessions["here"].expires
    said = SendMessage(room="tea", text="hi")
    world.when("ann", said, session="here", now=expires).refused("unauthenticated")
    world.asks("ann", Me(), session="here", now=expires).refused("unauthenticated")
    assert world.when("ann", said, session="here").refusal is None


def test_one_ends_ones_own_sessions() -> None:
    end = EndSession(session="there")
    world = given(sessions("ann", "here", "there"))
    world.when("ann", end, session="here").then(SessionEnded(account="ann", session="there"))
    world.when("bob", end).then()


def test_a_token_opens_its_session_until_it_expires() -> None:
    account = ann(given(sessions("ann", "here", "there")))
    expires = account.sessions["there"].expires
    assert living_session(account, "token of there", NOW) == "there"
    assert living_session(account, "token of there", expires) is None
    assert living_session(account, "token", NOW) is None


def test_a_token_of_somebody_deactivated_opens_nothing() -> None:
    account = ann(given(sessions("ann", "here")).but("account:ann", active=False))
    assert living_session(account, "token of here", NOW) is None


@pytest.mark.parametrize(
    ("span", "moment"),
    [
        (timedelta(days=1), NOW),
        (timedelta(microseconds=1), "2026-01-30T12:00:00.000001Z"),
        (timedelta(days=365), "2027-01-30T12:00:00.000000Z"),
    ],
)
def test_a_later_time_has_the_same_form(span: timedelta, moment: str) -> None:
    assert later(EARLIER, span) == moment
