"""A node that is a moment behind the log, or whose store is away for one: what it may not do meanwhile."""

import asyncio
from typing import Any

import pytest
import structlog.testing

from chat.application import broker_door, cursor, follower, presence, publisher
from chat.application.follower import UNFINISHED
from chat.domain.errors import Refused, Unavailable
from chat.domain.messages import DeleteMessage, ListMessages, SearchMessages, SendMessage
from chat.domain.rooms import AddMember, RemoveMember
from chat.domain.vocabulary import Query
from tests.application.fakes import World, connected, until, world, worlds
from tests.application.test_broker_door import place
from tests.application.test_follower import following, restore


async def two() -> tuple[World, World, str, str, str]:
    """Two nodes that know the same: of ann, bob, and their room."""
    here, there = await worlds()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    await there.node.follower.look()
    await there.node.ask(ListMessages(room=room), bob, bob)  # the states are at hand
    return here, there, ann, bob, room


def send(room: str, text: str) -> SendMessage:
    return SendMessage(id=text, room=room, text=text)


async def texts(there: World, query: Query, asker: str) -> list[str]:
    answer = await there.node.ask(query, asker, asker)
    return [bytes(message).decode().partition('"text":"')[2].partition('"')[0] for message in answer["messages"]]


async def test_who_was_removed_does_not_read_what_was_said_since() -> None:
    here, there, ann, bob, room = await two()
    await here.do(ann, send(room, "before"))
    await there.node.follower.look()
    await here.do(ann, RemoveMember(id="r", room=room, account=bob))
    await here.do(ann, send(room, "without bob"))
    for query in (ListMessages(room=room), ListMessages(room=room, after=0), ListMessages(room=room, around=4)):
        assert await texts(there, query, bob) == ["before"]
    assert await texts(there, SearchMessages(text="bob"), bob) == []
    await there.node.follower.look()
    with pytest.raises(Refused):
        await there.node.ask(ListMessages(room=room), bob, bob)


async def test_what_another_node_allowed_a_moment_ago_is_allowed() -> None:
    here, there, ann, bob, room = await two()
    await here.do(ann, RemoveMember(id="r", room=room, account=bob))
    await there.node.follower.look()
    await here.do(ann, AddMember(id="a", room=room, account=bob))
    async with following(there):
        assert await texts(there, ListMessages(room=room), bob) == []


async def test_an_event_that_cannot_be_folded_is_told_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, ann, bob, room = await two()
    wire = there.enter(bob, room)
    here.news()
    fold, broken = there.node.cache.fold, [KeyError("a fold that breaks")]

    def breaks_once(*given: Any) -> None:
        if broken:
            raise broken.pop()
        fold(*given)

    monkeypatch.setattr(there.node.cache, "fold", breaks_once)
    for number in range(3):
        await here.do(ann, send(room, f"{number}"))
    with structlog.testing.capture_logs() as logs:
        there.hear(*here.news())
    there.hub.flush()
    assert [line["event"] for line in logs] == ["an event cannot be folded"]
    assert wire.seqs(room) == [4, 5, 6]
    assert await texts(there, ListMessages(room=room), bob) == ["0", "1", "2"]


async def test_what_is_taken_back_while_a_slow_reader_resumes_is_not_told() -> None:
    here = await world()
    ann = await here.register("ann")
    room = await here.room(ann)
    for number in range(60):
        await here.do(ann, send(room, f"{number} ".ljust(7_900, "x")))
    async with connected(here, ann) as wire:
        waits, gate = 0, asyncio.Event()

        async def drained() -> None:
            nonlocal waits
            waits += 1
            if waits == 2:
                await gate.wait()

        wire.drained = drained  # type: ignore[method-assign]
        wire.say("resume", epoch=here.node.epoch, rooms={room: 0})
        await until(lambda: waits == 2)
        last = here.store.memory.log.rows[-1].seq
        await here.do(ann, DeleteMessage(id="d", room=room, message=last))
        gate.set()
        await until(lambda: wire.frames[-1]["type"] == "caught_up")
        [told] = [frame for frame in wire.frames if frame.get("seq") == last and frame["type"] == "message_sent"]
        assert (told["text"], told["deleted"]) == ("", True)
        assert sorted(wire.seqs(room)) == list(range(1, last + 2))


async def test_letters_that_waited_for_the_store_are_not_too_fast_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_door, "AGAIN", 0.001)
    it = await place(rate=2)
    it.here.clock.monotonic += 100
    begin, tries = it.here.store.begin, 0

    async def away(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 30:
            raise Unavailable("takes no writes")
        return await begin(*given)

    monkeypatch.setattr(it.here.store, "begin", away)

    async def time_goes_by() -> None:
        while True:
            await asyncio.sleep(0.001)
            it.here.clock.monotonic += 0.05

    turns = asyncio.create_task(it.here.node.turns.run())
    time = asyncio.create_task(time_goes_by())
    replies = await asyncio.gather(*(it.door.carry_out(it.send(f"letter {number}")) for number in range(4)))
    assert all(b'"ack"' in reply.frame for reply in replies)
    for task in turns, time:
        task.cancel()
    await asyncio.wait([turns, time])


async def test_a_turn_is_unavailable_when_its_node_is_sent_to_another_log_meanwhile() -> None:
    here, there, ann, _, room = await two()
    await here.do(ann, send(room, "one"))
    gate = there.faulty.gates["begin"] = asyncio.Event()
    turn = asyncio.create_task(there.turn((ann, send(room, "two"))))
    await until(lambda: "begin" in there.faulty.waiting)
    info = await there.store.read_info()
    there.node.cursor.jump(info._replace(head=1))
    gate.set()
    [outcome] = await turn
    assert isinstance(outcome, Refused)
    assert outcome.code == "unavailable"
    assert there.node.cursor.behind.is_set()
    await there.node.follower.look()
    assert (await there.do(ann, send(room, "two")))["seq"] == 5


async def test_nobody_serves_a_database_that_is_being_copied_into() -> None:
    here = await world()
    ann = await here.register("ann")
    room = await here.room(ann)
    await here.store.write_epoch(UNFINISHED + "another")
    with pytest.raises(Unavailable):
        await here.node.follower.look()
    [outcome] = await here.turn((ann, send(room, "hi")))
    assert isinstance(outcome, Refused)
    assert outcome.code == "unavailable"


async def test_after_a_restore_under_the_leader_nothing_new_is_left_unpublished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "GATHER", 0.001)
    monkeypatch.setattr(publisher, "ASK", 0.01)
    monkeypatch.setattr(cursor, "PATIENCE", 0.05)
    here, _, ann, _, room = await two()
    for number in range(9):
        await here.do(ann, send(room, f"{number}"))
    publishing = asyncio.create_task(here.node.publisher.run())
    async with following(here):
        await until(lambda: here.broker.published and here.broker.published[-1].position == here.head)
        restore(here, here.head - 5)
        here.clock.monotonic += 1
        here.node.cursor.behind.set()
        epoch = here.node.epoch
        await until(lambda: here.node.epoch != epoch)
        first, before = here.head + 1, len(here.broker.published)
        for number in range(3):
            await here.do(ann, send(room, f"new {number}"))
            here.clock.monotonic += 1
        await until(lambda: here.broker.published[-1].position == here.head)
        published = [each.position for each in here.broker.published[before:]]
        assert [position for position in published if position >= first] == [first, first + 1, first + 2]
    publishing.cancel()
    await asyncio.wait([publishing])


async def test_a_state_that_cannot_be_read_ends_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TICK", 0.001)
    monkeypatch.setattr(follower, "POLL", 0.001)
    here = await world()
    ann = await here.register("ann")
    here.enter(ann)
    told = 0

    async def breaks() -> None:
        nonlocal told
        told += 1
        raise ValueError("damaged")

    monkeypatch.setattr(here.node.presence, "tell", breaks)
    running = asyncio.create_task(here.node.run())
    with structlog.testing.capture_logs():
        await until(lambda: told > 3)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
