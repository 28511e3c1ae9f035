"""The mediator, on tables of its own: it knows no room."""

from typing import Any

import pytest
from msgspec.structs import replace

from chat.domain.errors import Refused
from chat.domain.log import Recorded
from chat.domain.vocabulary import Command, Event, Query, State
from chat.logic.mediator import (
    EVENTS,
    Context,
    Draft,
    Missing,
    New,
    Tables,
    Version,
    advance,
    answer,
    decide,
    fold,
    touched,
)

NOW = "2026-01-31T12:00:00.000000Z"


class Count(State, frozen=True, kw_only=True):
    """How often each thing happened here."""

    seen: tuple[str, ...] = ()


class Do(Command, frozen=True, kw_only=True):
    what: tuple[str, ...] = ()


class Happened(Event, frozen=True, kw_only=True):
    """In the stream of its first letter. Each letter behind the first happens because of it."""

    what: str

    @property
    def stream(self) -> str:
        return f"count:{self.what[0]}"


class Unfolded(Event, frozen=True, kw_only=True):
    @property
    def stream(self) -> str:
        return "count:a"


class Begin(Command, frozen=True, kw_only=True):
    """Something under a name that nothing has yet."""


class Begun(Event, frozen=True, kw_only=True):
    """In one stream, of something new."""

    what: str

    @property
    def stream(self) -> str:
        return "count:a"


class HowOften(Query, frozen=True, kw_only=True):
    pass


Deciding = tuple[State, list[Event]]


def do(state: Count, command: Do, context: Context) -> Deciding:
    if "forbidden" in command.what:
        raise Refused("forbidden")
    if "look" in command.what:
        context.look("count:far", Count)
    if "look all" in command.what:
        context.look_all(["count:a", "count:far", "count:farther"], Count)
    return state, [Happened(what=what) for what in command.what]


def happened(state: Count, event: Happened, _: Context) -> Deciding:
    rest = event.what[1:]
    return replace(state, seen=(*state.seen, event.what)), [Happened(what=rest)] if rest else []


def begin(state: Count, _: Begin, __: Context) -> Deciding:
    return state, [Begun(what="new"), Begun(what="new")]


def begun(state: Count, event: Begun, _: Context) -> Deciding:
    return replace(state, seen=(*state.seen, event.what)), []


def told(state: Count, event: Happened, _: Context) -> Deciding:
    return replace(state, seen=(*state.seen, f"{event.what} by {event.by}")), []


def how_often(state: Count, _: HowOften, context: Context) -> tuple[State, Any]:
    others = context.look_all(["count:b"], Count)
    return state, len(state.seen) + len(others[0].seen)


TABLES = Tables(
    states={"count": Count},
    commands={
        Do: (lambda _, context: f"count:{context.actor}", do),
        Begin: (lambda *_: New("count:new"), begin),
    },
    events={
        Happened: (
            (lambda event: event.stream, happened),
            (lambda event: "count:all" if event.what[0] != "z" else None, told),
        ),
        Unfolded: (),
        Begun: ((lambda event: New(f"count:{event.what}"), begun),),
    },
    queries={HowOften: (lambda _, context: f"count:{context.actor}", how_often)},
)


def context(*letters: str, actor: str = "a") -> Context:
    base = {f"count:{letter}": TABLES.initial("count:x") for letter in letters}
    return Context(states=Draft(base), actor=actor, now=NOW)


def names(recorded: list[Recorded]) -> list[str]:
    return [record.event.what for record in recorded if isinstance(record.event, Happened)]


# ---- what is missing


@pytest.mark.parametrize(
    ("what", "at_hand", "missing"),
    [
        ((), "", ("count:a",)),
        (("look",), "a", ("count:far",)),
        (("look all",), "a", ("count:far", "count:farther")),
        (("b",), "a", ("count:b",)),
        (("bc",), "ab", ("count:all",)),
    ],
)
def test_a_state_that_is_not_at_hand_is_missing(what: tuple[str, ...], at_hand: str, missing: tuple[str, ...]) -> None:
    with pytest.raises(Missing) as raised:
        decide(TABLES, Do(what=what), context(*at_hand))
    assert raised.value.keys == missing


def test_a_query_too_says_what_is_missing() -> None:
    with pytest.raises(Missing) as raised:
        answer(TABLES, HowOften(), context("a"))
    assert raised.value.keys == ("count:b",)


def test_a_kind_of_key_tells_the_state_that_it_begins_with() -> None:
    assert TABLES.initial("count:a:b:c") == Version(0, Count())


def test_a_state_is_looked_at_as_what_it_is() -> None:
    with pytest.raises(AssertionError):
        context("a").look("count:a", Other)


class Other(State, frozen=True, kw_only=True):
    pass


def test_what_is_new_is_not_missing() -> None:
    where = context("a")
    state, _ = decide(TABLES, Begin(), where)
    assert state == where.look("count:new", Count) == Count(seen=("new", "new"))
    assert where.states.foreign == {"count:new"}
    assert {type(key) for key in where.states.changed} == {str}


def test_what_is_new_may_be_new_to_an_event_alone() -> None:
    where = context("a")
    record = Recorded("count:a", 1, Begun(what="later"))
    assert fold(TABLES, record, where) == []
    assert where.look("count:later", Count) == Count(seen=("later",))
    assert touched(TABLES, record) == ["count:a", "count:later"]


# ---- deciding


def test_a_command_without_consequences_changes_nothing() -> None:
    where = context("a")
    assert decide(TABLES, Do(), where) == (Count(), [])
    assert where.states.changed == {}


def test_events_are_stamped_in_their_streams() -> None:
    where = context("a", "b", "all")
    state, recorded = decide(TABLES, Do(what=("a", "b", "a")), where)
    assert [(record.stream, record.seq) for record in recorded] == [
        ("count:a", 1),
        ("count:b", 1),
        ("count:a", 2),
    ]
    assert {(record.event.at, record.event.by) for record in recorded} == {(NOW, "a")}
    assert state == Count(seen=("a", "a"))


def test_handlers_see_an_event_as_it_is_recorded() -> None:
    where = context("a", "all")
    decide(TABLES, Do(what=("a",)), where)
    assert where.look("count:all", Count).seen == ("a by a",)


def test_consequences_follow_breadth_first() -> None:
    _, recorded = decide(TABLES, Do(what=("abc", "bc", "c")), context("a", "b", "c", "all"))
    assert names(recorded) == ["abc", "bc", "c", "bc", "c", "c"]


def test_a_command_leads_to_a_thousand_events_and_no_more() -> None:
    _, recorded = decide(TABLES, Do(what=("a",) * EVENTS), context("a", "all"))
    assert len(recorded) == EVENTS == 1_000
    with pytest.raises(Refused, match="too_large"):
        decide(TABLES, Do(what=("a",) * (EVENTS + 1)), context("a", "all"))
    with pytest.raises(Refused, match="too_large"):
        decide(TABLES, Do(what=("a" * (EVENTS + 1),)), context("a", "all"))


def test_a_handler_may_concern_no_key() -> None:
    where = context("z", actor="z")
    decide(TABLES, Do(what=("z",)), where)
    assert set(where.states.changed) == {"count:z"}


# ---- drafts


def test_a_draft_lies_over_what_stood_before() -> None:
    base = context("a", "all").states
    draft = Draft(base)
    decide(TABLES, Do(what=("a",)), Context(states=draft, actor="a"))
    assert draft.get("count:a") == Version(1, Count(seen=("a",)))
    assert base.get("count:a") == Version(0, Count())
    assert draft.get("count:b") is None


def test_a_draft_that_is_forgotten_leaves_nothing() -> None:
    base = context("a", "b", "all").states
    with pytest.raises(Missing):
        decide(TABLES, Do(what=("a", "b", "c")), Context(states=Draft(base), actor="a"))
    assert (base.changed, base.foreign) == ({}, set())


def test_a_draft_is_merged_into_the_one_below() -> None:
    base = context("a", "all").states
    for _ in range(2):
        draft = Draft(base)
        decide(TABLES, Do(what=("a",)), Context(states=draft, actor="a"))
        base.merge(draft)
    assert base.at("count:a") == Version(2, Count(seen=("a", "a")))
    assert base.foreign == {"count:all"}


def test_a_key_changed_by_another_stream_is_foreign_and_keeps_its_seq() -> None:
    where = context("a", "all")
    decide(TABLES, Do(what=("a", "a")), where)
    assert where.states.foreign == {"count:all"}
    assert where.states.at("count:all") == Version(0, Count(seen=("a by a", "a by a")))


# ---- folding


def test_an_event_of_the_log_advances_a_state_as_deciding_did() -> None:
    where = context("a", "b", "all")
    _, recorded = decide(TABLES, Do(what=("ab", "b")), where)
    for key in ("count:a", "count:b", "count:all"):
        version = TABLES.initial(key)
        for record in recorded:
            if key in touched(TABLES, record):
                version = advance(TABLES, key, version, record)
        assert version == where.states.at(key)


def test_an_event_touches_its_stream_and_what_its_handlers_change() -> None:
    assert touched(TABLES, Recorded("count:a", 1, Happened(what="a"))) == ["count:a", "count:all"]
    assert touched(TABLES, Recorded("count:z", 1, Happened(what="z"))) == ["count:z"]
    assert touched(TABLES, Recorded("count:a", 1, Unfolded())) == ["count:a"]


def test_an_event_without_handlers_is_counted_by_its_stream() -> None:
    record = Recorded("count:a", 7, Unfolded())
    where = context("a")
    assert fold(TABLES, record, where) == []
    assert where.states.at("count:a") == Version(7, Count())
    assert advance(TABLES, "count:a", Version(6, Count()), record) == Version(7, Count())


def test_folding_says_what_follows() -> None:
    record = Recorded("count:a", 1, Happened(what="abc"))
    assert fold(TABLES, record, context("a", "all")) == [Happened(what="bc")]


# ---- asking


def test_a_query_is_answered_from_several_states() -> None:
    where = context("a", "b", "all")
    decide(TABLES, Do(what=("ab", "b")), where)
    changed = dict(where.states.changed)
    assert answer(TABLES, HowOften(), where) == 3
    assert where.states.changed == changed
