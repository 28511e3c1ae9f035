"""What every store does alike."""

import asyncio
from typing import Any

import pytest

from chat.application.ports import Store
from chat.domain.errors import Poisoned, Unavailable, Unusable
from chat.domain.log import (
    TAIL,
    AnswerRow,
    Erasure,
    ListedRow,
    Loaded,
    LogInfo,
    LogRow,
    StateRow,
    Stored,
    WordsRow,
    Writes,
)
from tests.infra.stores.given import ROOMS, event, everything, filed, hits, key, on, say, sent, state, write

# The log.


async def test_a_new_log_is_empty_and_has_the_epoch_and_format_it_was_given(store: Store) -> None:
    assert await store.read_info() == LogInfo("epoch", 1, 0)


async def test_opened_again_a_log_keeps_its_epoch_and_its_events(store: Store) -> None:
    await say(store, "hello")
    await store.close()
    assert await store.open("another", 1) == LogInfo("epoch", 1, 1)


async def test_a_log_of_an_older_format_takes_on_the_newer_one(store: Store) -> None:
    await store.close()
    assert (await store.open("another", 2)).format == 2
    assert (await store.begin(0, [], [])).info.format == 2


async def test_a_log_of_a_newer_format_is_not_opened(store: Store) -> None:
    await store.close()
    await store.open("epoch", 7)
    await store.close()
    with pytest.raises(Unusable, match="format 7, this one knows 1"):
        await store.open("epoch", 1)


async def test_the_epoch_can_be_changed(store: Store) -> None:
    await store.write_epoch("another")
    assert (await store.read_info()).epoch == "another"


async def test_events_come_back_byte_for_byte_and_in_order(store: Store) -> None:
    rows = [
        LogRow(1, "room:r", 1, None, b"{}"),
        LogRow(2, "account:ä'\"🙂", 1, "message:r:1", "ä'\"🙂\n".encode()),
        LogRow(3, "room:r", 2, None, b""),
        LogRow(4, "room:r", 3, None, bytes(range(256))),
    ]
    await write(store, log=rows)
    assert await store.read_log(0, 10) == rows
    assert await store.read_log(1, 2) == rows[1:3]
    assert await store.read_log(4, 10) == []


async def test_a_stream_is_read_behind_one_seq_and_up_to_another(store: Store) -> None:
    rows = [event(1, 1), event(2, 1, "other"), event(3, 2), event(4, 3), event(5, 4)]
    await write(store, log=rows)
    assert await store.read_stream("room:r", 1, 3, 10) == [rows[2], rows[3]]
    assert await store.read_stream("room:r", 0, 10**9, 2) == [rows[0], rows[2]]
    assert await store.read_stream("room:none", 0, 9, 10) == []


# A turn.


async def test_a_turn_finds_the_head_the_format_and_nothing_else_in_an_empty_log(store: Store) -> None:
    assert await store.begin(0, [("a", "1")], []) == (LogInfo("epoch", 1, 0), (), {}, Loaded(0, {}))


async def test_a_turn_finds_the_tail_behind_its_cursor(store: Store) -> None:
    await say(store, "one", "two", "three")
    begun = await store.begin(1, [], [])
    assert begun.info.head == 3
    assert begun.tail == (sent(2), sent(3))


async def test_a_tail_has_a_limit_and_then_does_not_reach_the_head(store: Store) -> None:
    await write(store, log=[event(position) for position in range(1, TAIL + 3)])
    begun = await store.begin(1, [], [])
    assert begun.info.head == TAIL + 2
    assert len(begun.tail) == TAIL
    assert begun.tail[-1].position == TAIL + 1


async def test_a_turn_finds_who_was_answered(store: Store) -> None:
    await write(store, answers=[AnswerRow("a", "1", b"first"), AnswerRow("b", "1", b"")])
    begun = await store.begin(0, [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("a", "1")], [])
    assert begun.answered == {("a", "1"): b"first", ("b", "1"): b""}


async def test_a_turn_can_ask_after_more_than_any_turn_holds(store: Store) -> None:
    ids = [("a", f"{number:04d}") for number in range(1_100)]
    await write(store, answers=[AnswerRow(*who, who[1].encode()) for who in ids])
    begun = await store.begin(0, [("nobody", "1"), *ids], [])
    assert begun.answered == {who: who[1].encode() for who in ids}


async def test_a_turn_loads_states_as_they_are_under_the_lock(store: Store) -> None:
    await write(store, log=[event(1), event(2)], states=[StateRow("room:r", 1, 1, b"state")])
    stored = Stored(StateRow("room:r", 1, 1, b"state"), (event(2),))
    begun = await store.begin(0, [], ["room:r", "room:none"])
    assert begun.loaded == Loaded(2, {"room:r": stored, "room:none": Stored(None, ())})
    assert await store.load_locked(["room:r"]) == Loaded(2, {"room:r": stored})


async def test_a_turn_reads_every_event_about_some_things(store: Store) -> None:
    log = [sent(1), event(2), event(3, about=key(9)), event(4, about=key(1)), sent(5)]
    await write(store, log=log)
    await store.begin(5, [], [])
    assert await store.read_about([key(1), key(9), key(1), "nothing"]) == [log[0], log[2], log[3]]
    assert await store.read_about([]) == []


async def test_an_abandoned_turn_leaves_nothing_and_gives_the_lock_back(store: Store) -> None:
    before = await everything(store)
    await store.begin(0, [], [])
    await store.abandon()
    assert await everything(store) == before
    await say(store, "hello")


async def test_to_abandon_is_never_wrong(store: Store) -> None:
    await store.abandon()
    await say(store, "hello")
    await store.abandon()
    await say(store, "again")


async def test_after_its_end_a_turn_can_do_nothing_more(store: Store) -> None:
    await say(store, "hello")
    with pytest.raises(Unavailable):
        await store.commit(Writes(log=(sent(2),)))
    with pytest.raises(Unavailable):
        await store.load_locked(["room:r"])
    with pytest.raises(Unavailable):
        await store.read_about([key(1)])
    assert (await store.read_info()).head == 1


async def test_an_empty_turn_can_be_committed(store: Store) -> None:
    await write(store)
    assert (await store.read_info()).head == 0


async def test_a_turn_waits_for_the_one_before(store: Store) -> None:
    await store.begin(0, [], [])
    second = asyncio.create_task(store.begin(0, [], []))
    await asyncio.sleep(0.02)
    assert not second.done()
    await store.commit(Writes(log=(event(1),)))
    assert (await second).info.head == 1


async def test_a_turn_cancelled_while_it_waits_does_not_keep_the_lock(store: Store) -> None:
    await store.begin(0, [], [])
    second = asyncio.create_task(store.begin(0, [], []))
    await asyncio.sleep(0.02)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await store.commit(Writes(log=(event(1),)))
    await say(store, "hello")


@pytest.mark.parametrize("moments", range(4))
async def test_a_turn_cancelled_at_any_moment_leaves_all_or_nothing(store: Store, moments: int) -> None:
    async def turn() -> None:
        try:
            await store.begin(0, [], [])
            await store.commit(Writes(log=(sent(1),), states=(state(1),), words=(filed(1, "hello"),)))
        finally:
            await store.abandon()

    task = asyncio.create_task(turn())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.done()
    head = (await store.read_info()).head
    assert len(await store.read_states("", 10)) == head
    assert len(await store.read_words(("", 0), 10)) == 2 * head
    await asyncio.wait_for(say(store, "next"), 5)


# What a turn leaves behind.

GOOD = Writes(
    log=(sent(3), sent(4)),
    states=(state(3), state(1, text="changed")),
    words=(filed(3, "new"), WordsRow(key(1), 0, ("room:r", "one"), ("room:r", "changed"))),
    listed=(ListedRow("rooms", "room:r", "label"),),
    answers=(AnswerRow("a", "2", b"second"),),
    erasures=(Erasure(1, b"gone"),),
)


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        ({"log": (sent(4), sent(5))}, "positions"),
        ({"log": (sent(2),)}, "positions"),
        ({"log": (sent(3), sent(5, 4))}, "positions"),
        ({"log": (sent(3, 2),)}, "taken|UNIQUE"),
        ({"log": (sent(3), sent(4, 3))}, "taken|UNIQUE"),
        ({"answers": (AnswerRow("a", "1", b"another"),)}, "answered"),
        ({"answers": (AnswerRow("b", "1", b""), AnswerRow("b", "1", b""))}, "answered"),
        ({"erasures": (Erasure(9, b""),)}, "erasure"),
        ({"words": (WordsRow("message:none", 0, (), ("word",)),)}, "words"),
    ],
)
async def test_a_poisoned_turn_leaves_nothing(store: Store, poison: dict[str, Any], why: str) -> None:
    await say(store, "one", "two")
    await write(store, answers=[AnswerRow("a", "1", b"first")])
    before = await everything(store)
    await store.begin(2, [], [])
    with pytest.raises(Poisoned, match=why):
        await store.commit(GOOD._replace(**poison))
    assert await everything(store) == before
    begun = await asyncio.wait_for(store.begin(2, [("a", "1"), ("a", "2"), ("b", "1")], []), 5)
    assert begun.answered == {("a", "1"): b"first"}
    await store.commit(GOOD)
    assert (await store.read_info()).head == 4


async def test_what_is_read_beside_an_open_turn_was_committed(store: Store) -> None:
    await say(store, "one")
    await store.begin(1, [], [])
    before = await asyncio.wait_for(everything(store), 5)
    assert before[0].head == 1
    assert (await asyncio.wait_for(store.load(["room:r"]), 5)).position == 1
    await store.commit(GOOD._replace(log=(sent(2), sent(3))))
    assert (await store.load([])).position == 3


async def test_a_state_is_written_over(store: Store) -> None:
    await write(store, states=[StateRow("room:r", 1, 1, b"old"), StateRow("room:s", 1, 1, b"other")])
    await write(store, states=[StateRow("room:r", 5, 2, b"new")])
    assert await store.read_states("", 10) == [
        StateRow("room:r", 5, 2, b"new"),
        StateRow("room:s", 1, 1, b"other"),
    ]


async def test_an_erased_event_is_changed_where_it_stands(store: Store) -> None:
    await write(store, log=[sent(1), sent(2), event(3, about=key(1))])
    await write(store, log=[sent(4)], erasures=[Erasure(1, b"gone"), Erasure(3, b"too"), Erasure(4, b"even")])
    assert [row.event for row in await store.read_log(0, 10)] == [b"gone", sent(2).event, b"too", b"even"]
    await store.begin(4, [], [])
    assert [row.event for row in await store.read_about([key(1)])] == [b"gone", b"too"]


# States.


async def test_a_state_loads_with_the_events_of_its_own_stream_behind_it(store: Store) -> None:
    log = [event(1, 1), event(2, 2), event(3, 1, "other"), event(4, 3), event(5, 4)]
    snapshot = StateRow("room:r", 2, 1, b"two")
    await write(store, log=log, states=[snapshot])
    loaded = await store.load(["room:r", "room:other", "name:none"])
    assert loaded.position == 5
    assert loaded.states["room:r"] == Stored(snapshot, (log[3], log[4]))
    assert loaded.states["room:other"] == Stored(None, (log[2],))
    assert loaded.states["name:none"] == Stored(None, ())


async def test_many_states_load_at_once(store: Store) -> None:
    rows = [state(seq) for seq in range(1, 700)]
    await write(store, states=rows)
    loaded = await store.load([row.key for row in rows])
    assert [stored.snapshot for stored in loaded.states.values()] == rows
    assert (await store.load([])).states == {}


# Maintenance.


async def test_what_is_folded_is_read_page_by_page(listed: Store) -> None:
    await say(listed, "red green", "red", "größe")
    assert [row.key for row in await listed.read_states("", 2)] == [key(1), key(2)]
    assert [row.key for row in await listed.read_states(key(2), 2)] == [key(3)]
    words = [("green", 1), ("größe", 3), ("red", 1), ("red", 2), ("room:r", 1), ("room:r", 2), ("room:r", 3)]
    assert await listed.read_words(("", 0), 100) == words
    for at, after in enumerate(words):
        assert await listed.read_words(after, 2) == words[at + 1 : at + 3]
    rows = [ListedRow("accounts", "account:1", "art"), *(ListedRow("rooms", *room) for room in ROOMS)]
    assert await listed.read_listed(("", ""), 100) == rows
    assert await listed.read_listed(("rooms", "room:1"), 2) == rows[2:4]


async def test_a_rebuild_takes_the_place_of_what_is_in_use_when_it_is_finished(listed: Store) -> None:
    await say(listed, "red", "green")
    before = await everything(listed)
    await listed.start_rebuild()
    rows = [state(1, text="anew")], [filed(1, "blue")], [ListedRow("rooms", "room:7", "seven")]
    await listed.write_rebuilt(*rows)
    await listed.write_rebuilt([state(2)], [filed(2, "größe")], [])
    anew = (
        [state(1, text="anew"), state(2)],
        [("blue", 1), ("größe", 2), ("room:r", 1), ("room:r", 2)],
        rows[2],
    )
    assert await everything(listed) == before
    assert await listed.read_states("", 10, rebuilt=True) == anew[0]
    assert await listed.read_words(("", 0), 10, rebuilt=True) == anew[1]
    assert await listed.read_words(("blue", 1), 2, rebuilt=True) == anew[1][1:3]
    assert await listed.read_listed(("", ""), 10, rebuilt=True) == anew[2]
    await listed.finish_rebuild()
    assert await everything(listed) == (*before[:2], *anew)
    assert await hits(listed, "blue") == [1]
    assert await on(listed) == ["room:7"]


async def test_turns_go_on_after_a_rebuild_and_another_may_follow(store: Store) -> None:
    await say(store, "red")
    for _ in range(2):
        await store.start_rebuild()
        await store.write_rebuilt([state(1)], [filed(1, "red")], [])
        await store.finish_rebuild()
    await write(store, words=[WordsRow(key(1), 0, ("room:r", "red"), ("blue",))], states=[state(1)])
    await say(store, "red")
    assert await hits(store, "red") == [2]
    assert await hits(store, "blue") == [1]


async def test_a_rebuild_begun_anew_forgets_what_was_left_of_the_former(store: Store) -> None:
    await store.start_rebuild()
    await store.write_rebuilt([state(1)], [filed(1, "red")], [ListedRow("rooms", "room:1", "one")])
    await store.start_rebuild()
    assert await store.read_states("", 10, rebuilt=True) == []
    assert await store.read_words(("", 0), 10, rebuilt=True) == []
    assert await store.read_listed(("", ""), 10, rebuilt=True) == []


async def test_what_was_not_started_cannot_be_finished(store: Store) -> None:
    with pytest.raises(Unavailable):
        await store.finish_rebuild()
    await say(store, "hello")


async def test_a_store_that_was_never_opened_is_unavailable(store: Store) -> None:
    never = type(store)(*([] if "memory" in type(store).__module__ else ["nowhere.db"]))
    with pytest.raises(Unavailable):
        await never.begin(0, [], [])
    with pytest.raises(Unavailable):
        await never.read_info()
    await never.close()


async def test_nothing_is_physically_wrong_with_what_was_written(store: Store) -> None:
    await say(store, "hello", "again")
    assert [await store.check_table(table) for table in await store.tables()] == [[]] * len(await store.tables())


async def test_answers_are_read_page_by_page_by_id_and_actor(store: Store) -> None:
    rows = [AnswerRow(actor, id, f"{actor} {id}".encode()) for id in ("1", "2", "30") for actor in ("ann", "bob")]
    await write(store, answers=reversed(rows))
    assert await store.read_answers(("", ""), 10) == rows
    assert await store.read_answers(("1", "ann"), 3) == rows[1:4]
    assert await store.read_answers(("30", "bob"), 3) == []
