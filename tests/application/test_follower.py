"""The follower: a node gets to the head of the log whoever writes it, however little it is told, and starts over on
another history.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from chat.application import follower
from chat.domain.errors import Poisoned, Unavailable
from chat.domain.log import LogInfo, LogRow
from chat.domain.messages import SendMessage
from chat.domain.rooms import RenameRoom
from chat.logic.keys import room_key
from tests.application.fakes import World, connected, turning, until
from tests.application.two_nodes import codes, tea


@asynccontextmanager
async def following(here: World) -> AsyncIterator["asyncio.Task[None]"]:
    """As a part of the node's run."""
    task = asyncio.create_task(here.node.follower.run())
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait([task])


def restore(here: World, head: int) -> None:
    """An older log is put in the place of this one, as from a backup of which nobody told the chat."""
    memory, whole = here.store.memory, here.store.memory.log.rows
    memory.log = type(memory.log)()
    memory.fold = type(memory.fold)()
    memory.answers.clear()
    for row in whole[:head]:
        memory.log.append(row)


# ---- looking


async def test_it_looks_when_somebody_says_that_it_may_be_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL", 1_000.0)
    it = await tea()
    wire = it.there.enter(it.bob, it.room)
    async with following(it.there):
        await it.send(it.here)
        await asyncio.sleep(0.01)
        assert it.there.node.cursor.position < it.here.head
        it.there.node.cursor.behind.set()
        await until(lambda: it.there.node.cursor.position == it.here.head)
        assert not it.there.node.cursor.behind.is_set()
    it.there.hub.flush()
    assert len(wire.seqs(it.room)) == 1


@pytest.mark.parametrize("away", [False, True])
async def test_it_looks_more_often_while_no_news_can_come(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(follower, "POLL", 1_000.0 if away else 0.001)
    monkeypatch.setattr(follower, "ALONE", 0.001 if away else 1_000.0)
    it = await tea()
    it.there.broker.is_away = away
    async with following(it.there):
        await it.send(it.here)
        await until(lambda: it.there.node.cursor.position == it.here.head)


async def test_after_a_look_that_failed_it_looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL", 1_000.0)
    monkeypatch.setattr(follower, "ALONE", 0.001)
    it = await tea()
    it.there.clock.monotonic += 10
    failing(it.there, "read_log", [Unavailable("gone"), Poisoned("damaged"), ValueError("damaged")])
    with structlog.testing.capture_logs() as logs:
        async with following(it.there) as task:
            await it.send(it.here)
            it.there.node.cursor.behind.set()
            await until(lambda: it.there.node.cursor.position == it.here.head)
            assert not task.done()
    assert it.there.node.follower.unseen_for == 0
    assert [line["event"] for line in logs] == ["the log cannot be read"] * 2  # it warns once of a store


def failing(here: World, call: str, errors: list[Exception]) -> None:
    """The next calls raise these."""
    original = getattr(here.store, call)

    async def fail(*given: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return await original(*given)

    setattr(here.store, call, fail)


# ---- another history


async def test_on_another_history_everybody_comes_back_and_is_reset() -> None:
    it = await tea()
    async with turning(it.there), connected(it.there, it.bob) as wire:
        old = wire.frames[0]["epoch"]
        seqs = {room["id"]: room["seq"] for room in wire.frames[0]["rooms"]}
        await it.there.store.write_epoch("another")
        await it.there.node.follower.look()
        assert wire.closed is not None
        assert wire.closed[0] == 1012
        assert int(wire.closed[1]) >= 500
    assert len(it.there.node.cache) == 0
    async with connected(it.there, it.bob) as wire:
        assert wire.frames[0]["epoch"] == "another" != old
        wire.say("resume", epoch=old, rooms=seqs)
        await until(lambda: len(wire.frames) == 2)
        assert wire.frames[1]["type"] == "reset"
        assert wire.frames[1]["reason"] == "epoch"


async def test_a_log_that_ends_before_what_was_told_becomes_a_history_of_its_own() -> None:
    it = await tea()
    head = it.here.head
    for _ in range(3):
        await it.send(it.here)
    await it.there.node.follower.look()
    old = it.here.node.epoch
    wire = it.here.enter(it.ann, it.room)
    restore(it.here, head)
    for _ in range(2):
        await it.here.node.follower.look()
    info = await it.here.store.read_info()
    assert info.epoch == it.here.node.epoch != old
    assert (it.here.node.cursor.position, it.here.node.cursor.jumps) == (head, 2)  # the first was the start
    assert wire.closed
    await it.there.node.follower.look()
    assert it.there.node.epoch == info.epoch
    assert (await it.here.store.read_info()).epoch == info.epoch  # nobody has written another
    await it.send(it.there)
    await it.here.node.follower.look()
    assert it.here.node.cursor.position == it.there.head == head + 1


async def test_one_that_is_too_far_behind_tells_nobody_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "FAR", 5)
    it = await tea()
    wire = it.there.enter(it.bob, it.room)
    for _ in range(5):
        await it.send(it.here)
    await it.there.node.follower.look()
    it.there.hub.flush()
    assert (wire.closed, len(wire.seqs(it.room))) == (None, 5)
    for _ in range(6):
        await it.send(it.here)
    await it.there.node.follower.look()
    it.there.hub.flush()
    assert wire.closed
    assert wire.closed[0] == 1012
    assert len(wire.seqs(it.room)) == 5
    assert it.there.node.epoch == it.here.node.epoch
    assert it.there.node.cursor.position == it.here.head
    await it.there.do(it.ann, RenameRoom(id="1", room=it.room, title="Late"))
    assert it.title(it.there) == "Late"


async def test_one_that_has_caught_up_meanwhile_is_not_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "FAR", 5)
    it = await tea()
    wire = it.there.enter(it.bob, it.room)
    for _ in range(6):
        await it.send(it.here)
    read_info = it.there.store.read_info

    async def slowly() -> LogInfo:
        info = await read_info()
        await it.there.node.follower.catch_up()  # as a turn does
        return info

    it.there.store.read_info = slowly  # type: ignore[method-assign]
    await it.there.node.follower.look()
    it.there.hub.flush()
    assert (wire.closed, len(wire.seqs(it.room))) == (None, 6)


@pytest.mark.parametrize("history", ["another epoch", "an older log"])
async def test_turns_refuse_on_another_history_until_it_was_looked_at(history: str) -> None:
    it = await tea()
    head = it.here.head
    await it.send(it.here)
    if history == "another epoch":
        await it.here.store.write_epoch("another")
        head += 1
    else:
        restore(it.here, head)
    for _ in range(2):
        it.here.node.cursor.behind.clear()
        [outcome] = await it.here.turn((it.ann, SendMessage(id="1", room=it.room, text="hi")))
        assert codes([outcome]) == ["unavailable"]
        assert it.here.node.cursor.behind.is_set()
    assert it.here.head == head
    await it.here.node.follower.look()
    await it.here.do(it.ann, SendMessage(id="1", room=it.room, text="hi"))
    assert it.here.head == head + 1


async def test_what_was_loaded_before_a_jump_is_not_taken_in_after_it() -> None:
    it = await tea()
    head = it.here.head
    await it.here.do(it.ann, RenameRoom(id="1", room=it.room, title="Lost"))
    it.here.forget()
    it.here.faulty.gates["load"] = asyncio.Event()

    def title(context: Any) -> str:
        version = context.states.at(room_key(it.room))
        return str(version.state.title)

    asking = asyncio.create_task(it.here.node.reading.consult(title, it.ann))
    await until(lambda: it.here.faulty.waiting)
    restore(it.here, head)
    await it.here.node.follower.look()
    await it.here.do(it.ann, RenameRoom(id="2", room=it.room, title="Found"))
    it.here.forget()
    it.here.faulty.gates["load"].set()
    assert await asking == "Found"
    assert it.title(it.here) == "Found"


# ---- a load that is ahead


async def test_what_is_loaded_ahead_is_waited_for_no_longer_than_a_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells this node anything, and it would not look by itself for long."""
    monkeypatch.setattr(follower, "POLL", 1_000.0)
    it = await tea()
    await it.here.do(it.ann, RenameRoom(id="1", room=it.room, title="Ahead"))
    looks: list[int] = []
    read_log = it.there.store.read_log

    async def counted(after: int, limit: int) -> list[LogRow]:
        looks.append(after)
        return await read_log(after, limit)

    it.there.store.read_log = counted  # type: ignore[method-assign]
    async with following(it.there):
        async with asyncio.timeout(5):
            await it.there.node.reading.consult(lambda context: context.states.at(room_key(it.room)), it.ann)
    assert it.title(it.there) == "Ahead"
    assert len(looks) == 2  # the second page is empty
    assert it.there.node.cursor._waiting == []


async def test_what_is_told_in_time_is_not_read() -> None:
    it = await tea()
    await it.here.do(it.ann, RenameRoom(id="1", room=it.room, title="Ahead"))
    news = it.here.news()[-1]
    asking = asyncio.create_task(
        it.there.node.reading.consult(lambda context: context.states.at(room_key(it.room)), it.ann)
    )
    await until(lambda: it.there.node.cursor._waiting)
    it.there.hear(news)
    await asking
    await asyncio.sleep(0.1)
    assert not it.there.node.cursor.behind.is_set()
    assert json.loads(news)["last"] == it.there.node.cursor.position
