"""The mediator: which function answers which message, and the few lines that thread states through them.

    (state, message, context) -> (state, events | answer)

A command handler decides: it returns the events that follow, or raises `Refused`. An event handler returns the new
state of its key, and may emit further events. A query handler returns an answer, or a `Find` that a store carries out.
One command has one handler; an event may have several, each with a key of its own.

A state that is not at hand stops the mediator with `Missing`. Whoever asked loads it and asks again: nothing was
changed, so a second try is free. `Draft` keeps what one command changes apart from what stood before.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from chat.domain.errors import Refused
from chat.domain.log import Recorded
from chat.domain.vocabulary import Command, Event, Query, State

EVENTS: Final = 1_000  # that one command may lead to; it is refused beyond

S = TypeVar("S", bound=State)


class Missing(Exception):
    """These states are needed and not at hand."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(self.keys)


class New(str):
    """A key under which nothing can have been written yet: it need not be looked for."""

    __slots__ = ()


class Version(Struct, frozen=True, gc=False):
    """A state, and the seq of the last event of its own stream that went into it."""

    seq: int
    state: State


class Versions(Protocol):
    """Somewhere to look a version up: a cache, a dict, or another draft."""

    def get(self, key: str, /) -> Version | None: ...


States = Mapping[str, type[State]]
Commands = Mapping[type[Command], tuple[Callable[[Any, Any], str], Callable[[Any, Any, Any], Any]]]
Events = Mapping[type[Event], tuple[tuple[Callable[[Any], str | None], Callable[[Any, Any, Any], Any]], ...]]
Queries = Mapping[type[Query], tuple[Callable[[Any, Any], str], Callable[[Any, Any, Any], Any]]]


class Tables(NamedTuple):
    """Which state a kind of key names, and which functions answer a type of message."""

    states: States
    commands: Commands
    events: Events
    queries: Queries

    def initial(self, key: str) -> Version:
        """What is known of a key that was never written."""
        return Version(0, self.states[key.partition(":")[0]]())


class Draft:
    """States as changed so far, over what stood before; to undo, forget the draft."""

    __slots__ = ("_upper", "base", "changed", "foreign")

    def __init__(self, base: Versions) -> None:
        self.base = base
        self.changed: dict[str, Version] = {}
        self.foreign: set[str] = set()  # keys changed by an event of another stream than their own
        self._upper: Versions = self.changed
        if type(base) is Draft and base._upper is base.changed:  # a draft on a draft: one look instead of two
            self._upper, self.base = base.changed, base.base

    def get(self, key: str) -> Version | None:
        return self.changed.get(key) or self._upper.get(key) or self.base.get(key)

    def at(self, key: str) -> Version:
        """Raises `Missing`."""
        if version := self.changed.get(key) or self._upper.get(key) or self.base.get(key):
            return version
        raise Missing((key,))

    def begin(self, key: str, initial: Version) -> Version:
        """The version of a key that is `New`, from now on at hand."""
        self.changed[str(key)] = initial
        return initial

    def merge(self, other: "Draft") -> None:
        self.changed |= other.changed
        self.foreign |= other.foreign


class Context(Struct, frozen=True, kw_only=True, gc=False):
    """All that a rule may know beside its state and its message.

    `now` is RFC 3339 in UTC with microseconds, so that times compare as strings. `fresh` is an id that nothing has
    yet. `setup` is the hash that the first account must bring, where one is asked for. `position` is how far the log is
    known.
    """

    states: Draft
    actor: str = ""
    session: str = ""
    now: str = ""
    fresh: str = ""
    registration: str = "invite"
    setup: str = ""
    online: Collection[str] = ()
    position: int = 0

    def look(self, key: str, kind: type[S]) -> S:
        """The state of another key. Raises `Missing`."""
        state = self.states.at(key).state
        assert isinstance(state, kind)
        return state

    def look_all(self, keys: Collection[str], kind: type[S]) -> list[S]:
        """The states of many keys. Raises `Missing` once, for all that are."""
        if missing := [key for key in keys if not self.states.get(key)]:
            raise Missing(missing)
        return [self.look(key, kind) for key in keys]


NOWHERE: Final = Context(states=Draft({}))


def decide(tables: Tables, command: Command, context: Context) -> tuple[State, list[Recorded]]:
    """The state that `command` leaves and the events that lead there, folded into `context.states`.

    Raises `Refused`, or `Missing`; either way the context's draft is to be thrown away.
    """
    key_of, handler = tables.commands[type(command)]
    key = key_of(command, context)
    _, events = handler(_at(tables, context.states, key).state, command, context)
    waiting = deque(events)
    recorded: list[Recorded] = []
    while waiting:
        if len(recorded) == EVENTS:
            raise Refused("too_large", f"This would lead to more than {EVENTS} events.")
        event = waiting.popleft()
        seq = context.states.at(event.stream).seq + 1
        record = Recorded(event.stream, seq, event.stamped(seq, context.now, context.actor))
        waiting.extend(fold(tables, record, context))
        recorded.append(record)
    return context.states.at(key).state, recorded


def fold(tables: Tables, record: Recorded, context: Context) -> list[Event]:
    """Take an event into every state that it concerns. Returns what its handlers emit. Raises `Missing`."""
    stream, event, draft = record.stream, record.event, context.states
    draft.changed[stream] = Version(record.seq, draft.at(stream).state)
    emitted: list[Event] = []
    for key_of, handler in tables.events[type(event)]:
        if (key := key_of(event)) is None:
            continue
        version = _at(tables, draft, key)
        state, more = handler(version.state, event, context)
        name = str(key)
        draft.changed[name] = Version(version.seq, state)
        if name != stream:
            draft.foreign.add(name)
        emitted += more
    return emitted


def _at(tables: Tables, draft: Draft, key: str) -> Version:
    if isinstance(key, New) and key not in draft.changed:
        return draft.begin(key, tables.initial(key))
    return draft.at(key)


def touched(tables: Tables, record: Recorded) -> list[str]:
    """The keys that an event concerns, its own stream's first."""
    keys = (key_of(record.event) for key_of, _ in tables.events[type(record.event)])
    return list(dict.fromkeys([record.stream, *(str(key) for key in keys if key is not None)]))


def advance(tables: Tables, key: str, version: Version, record: Recorded) -> Version:
    """One state, one event of the log on. What the handlers emit is dropped: it is in the log already."""
    state = version.state
    for key_of, handler in tables.events[type(record.event)]:
        if key_of(record.event) == key:
            state, _ = handler(state, record.event, NOWHERE)
    return Version(record.seq if key == record.stream else version.seq, state)


def answer(tables: Tables, query: Query, context: Context) -> Any:
    """An answer, or a `Find`. Raises `Refused`, `Missing`."""
    key_of, handler = tables.queries[type(query)]
    return handler(context.states.at(key_of(query, context)).state, query, context)[1]
