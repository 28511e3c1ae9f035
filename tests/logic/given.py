"""The rules as sentences: given what happened, when somebody wishes something, then this follows.

    given(TEA).when("ann", RenameRoom(room="tea", title="Tea")).then(RoomRenamed(room="tea", title="Tea"))

On every server live the people of PEOPLE. Facts are events, or commands as (actor, command).
Events are named as rules make them; seq, time and actor are the mediator's, and `then` checks these itself.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from runpy import run_path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from chat.domain.accounts import AccountDeactivated, AccountRegistered, TokenIssued
from chat.domain.errors import Refused
from chat.domain.log import Found, Recorded, Rows
from chat.domain.rooms import MemberAdded, RoomCreated
from chat.domain.vocabulary import Command, Event, Kind, Query, Role, State
from chat.logic.find import Find
from chat.logic.keys import direct_key
from chat.logic.mediator import Context, Draft, Tables, Version, answer, decide, fold

WIRING: Final[dict[str, Any]] = run_path(str(Path(__file__).parents[2] / "chat.py"), run_name="wiring")
TABLES: Final[Tables] = WIRING["TABLES"]
NOW: Final = "2026-01-31T12:00:00.000000Z"
EARLIER: Final = "2026-01-30T12:00:00.000000Z"
MUCH_LATER: Final = "2026-04-30T12:00:00.000000Z"

S = TypeVar("S", bound=State)
Fact = Event | tuple[str, Command]


class Known(NamedTuple):
    """Versions where every key is at hand: one never written has its initial version."""

    versions: Mapping[str, Version]

    def get(self, key: str, /) -> Version:
        return self.versions.get(key) or TABLES.initial(key)


class Given(NamedTuple):
    """Everything as it stands."""

    versions: Mapping[str, Version]

    def when(self, actor: str, command: Command, **beside: Any) -> "Outcome":
        context = self.context(actor, **beside)
        try:
            _, recorded = decide(TABLES, command, context)
        except Refused as refusal:
            return Outcome(self, actor, [], refusal)
        return Outcome(Given({**self.versions, **context.states.changed}), actor, recorded, None)

    def asks(self, actor: str, query: Query, **beside: Any) -> "Asked":
        context = self.context(actor, **beside)
        try:
            return Asked(answer(TABLES, query, context), context, None)
        except Refused as refusal:
            return Asked(None, context, refusal)

    def context(self, actor: str, **beside: Any) -> Context:
        common: dict[str, Any] = {"actor": actor, "now": NOW, "fresh": "fresh"}
        return Context(states=Draft(Known(self.versions)), **common | beside)

    def happened(self, *facts: Fact | Iterable[Fact]) -> "Given":
        world = self
        for fact in facts:
            match fact:
                case Event():
                    world = world.after(fact)
                case (str() as actor, Command() as command):
                    outcome = world.when(actor, command)
                    assert outcome.refusal is None, outcome.refusal
                    world = outcome.world
                case _:
                    world = world.happened(*fact)
        return world

    def after(self, event: Event) -> "Given":
        context = self.context("")
        seq = context.states.at(event.stream).seq + 1
        fold(TABLES, Recorded(event.stream, seq, event.stamped(seq, event.at or EARLIER, event.by)), context)
        return Given({**self.versions, **context.states.changed})

    def but(self, key: str, **fields: Any) -> "Given":
        """The same, but for these fields of one state."""
        version = Known(self.versions).get(key)
        return Given({**self.versions, key: Version(version.seq, replace(version.state, **fields))})

    @property
    def states(self) -> dict[str, State]:
        return {key: version.state for key, version in self.versions.items()}

    def look(self, key: str, kind: type[S]) -> S:
        state = Known(self.versions).get(key).state
        assert isinstance(state, kind)
        return state


class Outcome(NamedTuple):
    """Of a command. `world` is as it stands afterwards."""

    world: Given
    actor: str
    recorded: list[Recorded]
    refusal: Refused | None

    def then(self, *events: Event) -> Given:
        assert self.refusal is None, self.refusal
        assert [plain(record.event) for record in self.recorded] == [plain(event) for event in events]
        assert {(record.event.by, record.event.at) for record in self.recorded} <= {(self.actor, NOW)}
        return self.world

    def refused(self, code: str, field: str | None = None) -> Given:
        assert self.refusal is not None, f"it was carried out: {self.recorded}"
        assert (self.refusal.code, self.refusal.field) == (code, field), self.refusal
        return self.world


class Asked(NamedTuple):
    """Of a query."""

    answer: Any
    context: Context
    refusal: Refused | None

    def answers(self, expected: Any) -> None:
        """As a client reads it."""
        assert self.refusal is None, self.refusal
        assert msgspec.json.decode(msgspec.json.encode(self.answer)) == expected

    def finds(self, *rows: Rows) -> "Asked":
        assert self.refusal is None, self.refusal
        assert isinstance(self.answer, Find)
        assert self.answer.rows == rows
        return self

    def holding(self, *found: Found) -> "Asked":
        """What becomes of the rows when the store has found these."""
        assert isinstance(self.answer, Find)
        return self._replace(answer=self.answer.then([self.answer.each(rows) for rows in found], self.context))

    def refused(self, code: str, field: str | None = None) -> None:
        assert self.refusal is not None, f"it was answered: {self.answer}"
        assert (self.refusal.code, self.refusal.field) == (code, field), self.refusal


def plain(event: Event) -> Event:
    return event.stamped(0, "", "")


def account(name: str, role: Role = "member", *, bot: bool = False) -> AccountRegistered:
    return AccountRegistered(account=name, name=name, role=role, bot=bot)


def room(name: str, kind: Kind = "public", **members: Role) -> list[Event]:
    return [
        RoomCreated(room=name, title=name, kind=kind),
        *(MemberAdded(room=name, account=member, role=role) for member, role in members.items()),
    ]


def direct(name: str, one: str, other: str) -> list[Event]:
    return [
        RoomCreated(room=name, title="", kind="direct", between=(one, other)),
        *(MemberAdded(room=name, account=member, role="member") for member in (one, other)),
    ]


def sessions(name: str, *names: str) -> list[Event]:
    """Of an account, each with a token of its own."""
    return [
        TokenIssued(account=name, session=session, token=f"token of {session}", expires=MUCH_LATER) for session in names
    ]


NOBODY: Final = Given({})
PEOPLE: Final = NOBODY.happened(
    account("olga", "owner"),
    account("adam", "admin"),
    [account(name) for name in ("ann", "bob", "cat", "dan")],
    account("robot", bot=True),
    account("gone"),
    AccountDeactivated(account="gone"),
)

# Two rooms of the same three, with four events each, so that the next is number 5; dan stands outside.
TEA: Final = room("tea", "public", ann="owner", bob="admin", cat="member")
CLUB: Final = room("club", "private", ann="owner", bob="admin", cat="member")
PAIR: Final = direct("pair", "ann", "bob")
PAIR_KEY: Final = direct_key("ann", "bob")


def given(*facts: Fact | Iterable[Fact]) -> Given:
    return PEOPLE.happened(*facts)
