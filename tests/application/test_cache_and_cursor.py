"""The states at hand, and the one cursor by which everything reaches them and the sockets."""

import asyncio
from collections.abc import Sequence

import pytest

from chat.application.cache import LEAST, TAIL_EVENTS, Cache
from chat.application.codec import Codec, encode, row_of
from chat.application.cursor import Cursor, Gap
from chat.domain.log import Entry, Loaded, Recorded, StateRow, Stored
from chat.domain.messages import Message, MessageSent
from chat.domain.rooms import MemberAdded, Room, RoomCreated
from chat.domain.vocabulary import RoomEvent, State
from chat.logic.keys import account_key, message_key, room_key
from chat.logic.mediator import Version
from tests.logic.given import TABLES

CODEC = Codec(TABLES)
TEA = room_key("tea")
NOTHING = Stored(None, ())


def entry(position: int, event: RoomEvent, seq: int) -> Entry:
    event = event.stamped(seq, "2026-01-31T12:00:00.000000Z", "ann")
    return Entry(position, Recorded(event.stream, seq, event), encode(event))


def sent(position: int, seq: int, room: str = "tea") -> Entry:
    return entry(position, MessageSent(room=room, author="ann", text="hi"), seq)


def stored(key: str, seq: int, state: State) -> Stored:
    return Stored(StateRow(key, seq, 1, encode(state)), ())


def a_cache() -> Cache:
    return Cache(TABLES, CODEC)


def room_of(cache: Cache, key: str = TEA) -> Room:
    version = cache.get(key)
    assert version
    assert isinstance(version.state, Room)
    return version.state


class Heard:
    def __init__(self) -> None:
        self.positions: list[int] = []

    def tell(self, entries: Sequence[Entry]) -> None:
        self.positions += [entry.position for entry in entries]


# ---- the cache


def test_a_state_is_its_row_and_the_events_behind_it() -> None:
    cache = a_cache()
    created = entry(1, RoomCreated(room="tea", title="Tea", kind="public"), 1)
    tail = (row_of(entry(5, MemberAdded(room="tea", account="ann", role="owner"), 2)), row_of(sent(6, 3)))
    cache.admit(Loaded(6, {TEA: Stored(None, (row_of(created), *tail)), room_key("new"): NOTHING}))
    assert cache.get(TEA) == Version(3, Room(title="Tea", kind="public", members={"ann": "owner"}, last=3))
    assert cache.get(room_key("new")) == Version(0, Room())
    assert cache.get(room_key("other")) is None

    cache.clear()
    snapshot = StateRow(TEA, 1, 1, encode(Room(title="Snapshot", kind="public")))
    cache.admit(Loaded(6, {TEA: Stored(snapshot, tail)}))
    assert (room_of(cache).title, room_of(cache).last) == ("Snapshot", 3)


def test_what_is_at_hand_is_not_replaced_by_what_was_loaded() -> None:
    cache = a_cache()
    cache.admit(Loaded(5, {TEA: stored(TEA, 4, Room(title="New", kind="public"))}))
    cache.admit(Loaded(3, {TEA: stored(TEA, 2, Room(title="Old", kind="public"))}))
    assert room_of(cache).title == "New"


def test_an_event_is_folded_once_wherever_it_was_loaded() -> None:
    cache = a_cache()
    cache.admit(Loaded(7, {TEA: stored(TEA, 3, Room(title="Tea", kind="public", last=3))}))
    cache.fold(sent(7, 3))  # it is in there
    assert cache.get(TEA) == Version(3, Room(title="Tea", kind="public", last=3))
    cache.fold(sent(8, 4))
    assert cache.get(TEA) == Version(4, Room(title="Tea", kind="public", last=4))


def test_what_others_turns_add_to_a_stream_counts_towards_writing_its_state() -> None:
    cache = a_cache()
    cache.admit(Loaded(1, {TEA: stored(TEA, 1, Room(title="Tea", kind="public"))}))
    for number in range(2, 102):
        cache.fold(sent(number, number))
    known = cache.entry(TEA)
    assert known
    assert known.is_due


def test_a_state_whose_stream_jumps_is_dropped() -> None:
    cache = a_cache()
    cache.admit(Loaded(7, {TEA: stored(TEA, 3, Room(title="Tea", kind="public"))}))
    cache.fold(sent(9, 5))
    assert cache.get(TEA) is None


def test_an_event_reaches_every_state_that_it_concerns() -> None:
    cache = a_cache()
    keys = [TEA, account_key("ann"), message_key("tea", 2)]
    cache.admit(Loaded(0, dict.fromkeys(keys, NOTHING)))
    cache.fold(entry(1, MemberAdded(room="tea", account="ann", role="owner"), 1))
    cache.fold(sent(2, 2))
    assert room_of(cache).members == {"ann": "owner"}
    account, message = (cache.get(key) for key in keys[1:])
    assert account
    assert message
    assert (account.seq, account.state.rooms.keys()) == (0, {"tea"})  # type: ignore[attr-defined]
    assert isinstance(message.state, Message)
    assert (message.seq, message.state.text) == (0, "hi")


def test_what_was_told_during_a_load_is_folded_into_what_it_brought_and_nothing_else() -> None:
    cache = a_cache()
    other = room_key("other")
    cache.admit(Loaded(4, {other: stored(other, 1, Room(title="Other", kind="public", last=1))}))
    since = [sent(5, 4), sent(6, 5), sent(7, 2, "other")]
    for told in since:
        cache.fold(told)
    cache.admit(Loaded(5, {TEA: stored(TEA, 4, Room(kind="public", last=4)), other: NOTHING}), since)
    assert cache.get(TEA) == Version(5, Room(kind="public", last=5))
    assert cache.get(other) == Version(2, Room(title="Other", kind="public", last=2))


def test_the_least_recently_used_goes_first() -> None:
    cache = a_cache()
    keys = [room_key(f"{number}") for number in range(4)]
    cache.admit(Loaded(0, {key: stored(key, 1, Room()) for key in keys}))
    cache.get(keys[0])
    cache.bound = 2 * LEAST
    cache.trim()
    assert [key for key in keys if cache.entry(key)] == [keys[0], keys[3]]


def test_what_was_never_written_pushes_nothing_out() -> None:
    cache = a_cache()
    keys = [room_key(f"{number}") for number in range(4)]
    cache.admit(Loaded(1, {key: stored(key, 1, Room()) for key in keys[:2]}))
    made_up = [room_key(f"made up {number}") for number in range(100)]
    for key in made_up:
        cache.admit(Loaded(1, {key: NOTHING}))
        cache.get(key)
    cache.bound = 3 * LEAST
    cache.trim()
    assert [key for key in keys if cache.entry(key)] == keys[:2]
    assert len(cache) == 3


def test_what_something_has_happened_to_is_no_longer_nothing() -> None:
    cache = a_cache()
    written, settled, folded = TEA, room_key("settled"), room_key("folded")
    cache.admit(Loaded(0, {settled: NOTHING, folded: NOTHING}))
    cache.settle(settled, Version(1, Room()), 1)
    cache.fold(sent(2, 1, "folded"))
    cache.admit(Loaded(2, {written: stored(written, 1, Room())}))
    cache.get(settled)
    cache.get(folded)
    cache.bound = 2 * LEAST
    cache.trim()
    assert [key for key in (written, settled, folded) if cache.entry(key)] == [settled, folded]


def test_large_states_count_for_what_they_are() -> None:
    cache = a_cache()
    large = Room(title="x", kind="public", members=dict.fromkeys(map(str, range(1_000)), "member"))
    cache.admit(Loaded(0, {TEA: stored(TEA, 1, large), room_key("small"): NOTHING}))
    cache.get(TEA)
    cache.bound = len(encode(large)) - 1
    cache.trim()
    assert len(cache) == 0
    cache.admit(Loaded(0, {TEA: NOTHING}))
    cache.written(TEA, 5, 10 * LEAST)
    cache.bound = 9 * LEAST
    cache.trim()
    assert len(cache) == 0
    cache.admit(Loaded(0, {TEA: NOTHING}))
    cache.trim()
    assert len(cache) == 1  # what went is counted no more


def test_a_state_is_due_when_its_tail_is_as_long_as_itself_and_long_enough() -> None:
    cache = a_cache()
    size = len(encode(Room(kind="public")))
    cache.admit(Loaded(0, {TEA: stored(TEA, 5, Room(kind="public"))}))

    def is_due() -> bool:
        entry = cache.entry(TEA)
        return bool(entry and entry.is_due)

    cache.grown(TEA, size - 1)
    cache.settle(TEA, Version(5 + TAIL_EVENTS, Room(kind="public")), 200)
    assert not is_due()
    cache.grown(TEA, 1)
    assert is_due()
    cache.settle(TEA, Version(4 + TAIL_EVENTS, Room(kind="public")), 201)
    assert not is_due()
    cache.settle(TEA, Version(9 + TAIL_EVENTS, Room(kind="public")), 202)
    cache.written(TEA, 9 + TAIL_EVENTS, 10)
    assert not is_due()
    cache.grown(room_key("other"), 10)  # which is not at hand


# ---- the cursor


def test_events_are_taken_in_once_and_in_order() -> None:
    heard = Heard()
    cursor = Cursor(a_cache(), heard)
    entries = [sent(position, position) for position in range(1, 7)]
    cursor.take_in(entries[:2])
    cursor.take_in(entries[:4])
    cursor.take_in(entries[1:3])
    cursor.take_in([])
    cursor.take_in(entries)
    assert heard.positions == [1, 2, 3, 4, 5, 6]
    assert cursor.position == 6


def test_a_gap_is_not_jumped() -> None:
    heard = Heard()
    cursor = Cursor(a_cache(), heard, position=3)
    with pytest.raises(Gap):
        cursor.take_in([sent(5, 5)])
    assert (cursor.position, heard.positions) == (3, [])


def test_what_a_turn_has_folded_is_not_folded_again() -> None:
    cache = a_cache()
    cache.admit(Loaded(0, {TEA: NOTHING}))
    cursor = Cursor(cache, Heard())
    settled = Version(1, Room(title="settled"))
    cursor.take_in([sent(1, 1)], {TEA: settled, room_key("new"): settled})
    assert cache.get(TEA) == cache.get(room_key("new")) == settled


def test_what_began_in_a_turn_is_kept_if_it_has_a_stream_of_its_own() -> None:
    cache = a_cache()
    cursor = Cursor(cache, Heard())
    message = "message:tea:0000000000000001"
    cursor.take_in([sent(1, 1)], {TEA: Version(1, Room()), message: Version(0, Message(seq=1))})
    assert cache.get(TEA) == Version(1, Room())
    assert cache.get(message) is None


async def test_whoever_waits_for_a_position_is_woken_there() -> None:
    cursor = Cursor(a_cache(), Heard())
    await cursor.reach(0)
    waiting = [asyncio.create_task(cursor.reach(position)) for position in (1, 2, 3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    cursor.take_in([sent(1, 1), sent(2, 2)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, True, False]
    cursor.take_in([sent(3, 3)])
    await waiting[2]


def test_one_may_listen_to_what_is_taken_in_meanwhile() -> None:
    cursor = Cursor(a_cache(), Heard())
    cursor.take_in([sent(1, 1)])
    with cursor.meanwhile() as one, cursor.meanwhile() as two:
        cursor.take_in([sent(1, 1), sent(2, 2)])
    cursor.take_in([sent(3, 3)])
    assert [entry.position for entry in one] == [entry.position for entry in two] == [2]


def test_the_cache_is_trimmed_as_the_cursor_goes_on() -> None:
    cache = a_cache()
    cache.admit(Loaded(0, {TEA: NOTHING}))
    cache.bound = 0
    Cursor(cache, Heard()).take_in([sent(1, 1)])
    assert len(cache) == 0
