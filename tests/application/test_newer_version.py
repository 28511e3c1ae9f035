"""A log that a newer version has taken over: the node of the older one goes, and nobody is left without an answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from chat.application import follower, turn
from chat.application.codec import FORMAT
from chat.application.follower import Outdated
from chat.application.queue import Outcome
from chat.application.settings import Settings
from chat.domain.errors import Poisoned, Refused
from chat.domain.messages import SendMessage
from chat.infra.stores.memory import MemoryStore
from tests.application.fakes import World, connected, until
from tests.application.two_nodes import codes, tea
from tests.inside import WIRING

GOES = "a newer version has taken over the log: this node goes; start that version instead"


@asynccontextmanager
async def running(here: World) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(here.node.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


def raise_format(here: World) -> None:
    epoch, _ = here.store.memory.info or ("", 0)
    here.store.memory.info = (epoch, FORMAT + 1)


async def test_a_look_at_the_log_of_a_newer_version_ends_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL", 0.001)
    it = await tea()
    with structlog.testing.capture_logs() as logs:
        async with running(it.here) as task:
            raise_format(it.here)
            await asyncio.wait_for(task, 5)
    assert it.here.node.draining
    assert [line["event"] for line in logs] == [GOES]
    with pytest.raises(Refused) as refused:
        await it.here.node.ready()
    assert refused.value.status == 503


async def test_everybody_who_waits_then_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the turn that finds out, those behind it, those of HTTP and of the websocket; and nothing is decided."""
    monkeypatch.setattr(follower, "POLL", 1_000.0)
    monkeypatch.setattr(turn, "BATCH", 4)
    it = await tea()
    head = it.here.head
    async with connected(it.here, it.ann) as wire, running(it.here) as task:
        raise_format(it.here)
        told = it.submit(it.here, 10)
        wire.say("send_message", id="by websocket", room=it.room, text="hi")
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(it.here.node.do(SendMessage(id="http", room=it.room, text="hi"), it.ann, ""), 5)
        await asyncio.wait_for(task, 5)
        await until(lambda: wire.frames[-1]["type"] == "refused")
        assert wire.frames[-1] | {"detail": ""} == {
            "type": "refused",
            "id": "by websocket",
            "code": "unavailable",
            "detail": "",
            "retry_after": 1.0,
        }
    assert codes(told) == ["unavailable"] * 10
    assert refused.value.code == "unavailable"
    assert it.here.head == head
    await asyncio.wait_for(it.here.node.turns.idle(), 5)


async def test_those_behind_a_turn_that_takes_its_time_are_answered_too_when_a_look_finds_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "BATCH", 2)
    it = await tea()
    async with running(it.here) as task:
        it.here.faulty.gates["commit"] = asyncio.Event()
        told = it.submit(it.here, 6)
        await until(lambda: it.here.faulty.waiting)
        raise_format(it.here)
        it.here.node.cursor.behind.set()
        await until(lambda: it.here.node.draining)
        assert told == []
        it.here.faulty.gates["commit"].set()
        await asyncio.wait_for(task, 5)
    assert codes(told) == ["ack"] * 2 + ["unavailable"] * 4


async def test_a_command_that_comes_while_an_outdated_node_goes_is_refused_at_once() -> None:
    """Though the rest of the node takes its time to end."""
    it = await tea()
    gate = asyncio.Event()

    async def ends_slowly(_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()

    it.here.broker.run = ends_slowly  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(it.here.node.run(door=object()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    raise_format(it.here)
    told = it.submit(it.here, 1)
    await until(lambda: told)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    with pytest.raises(Refused) as refused:
        it.submit(it.here, 1)
    assert refused.value.code == "unavailable"
    gate.set()
    await asyncio.wait_for(task, 5)


async def test_those_of_a_broken_turn_are_answered_too_when_one_of_them_finds_a_newer_version() -> None:
    it = await tea()
    it.here.faulty.faults["commit"] = [Poisoned("this one breaks it")]
    begin, calls = it.here.store.begin, 0

    async def raised_with_the_second(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise_format(it.here)
        return await begin(*given)

    it.here.store.begin = raised_with_the_second  # type: ignore[method-assign, assignment]
    told: list[Outcome] = []
    sends = [SendMessage(id=f"{number}", room=it.room, text="hi") for number in range(4)]
    with pytest.raises(Outdated), structlog.testing.capture_logs():
        await it.here.node.turns.turn([it.here.waiting(it.ann, send, told.append) for send in sends])
    assert codes(told) == ["ack"] + ["unavailable"] * 3


async def test_a_server_that_is_outdated_ends_by_itself_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    serve: Callable[[Settings], Any] = WIRING["serve"]
    store = MemoryStore()
    listening = asyncio.Event()
    log = structlog.testing.LogCapture()

    def told(_logger: object, _name: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if line["event"] == "listening":
            listening.set()
        return line

    monkeypatch.setattr(follower, "POLL", 0.01)
    structlog.configure(processors=[told, structlog.processors.add_log_level, log])
    try:
        with patch.dict(serve.__globals__, {"store_of": lambda _: store}):
            serving = asyncio.create_task(serve(Settings(database="memory:", port=0)))
            await asyncio.wait_for(listening.wait(), 10)
            store.memory.info = ("epoch", FORMAT + 1)
            assert await asyncio.wait_for(serving, 15) == 1
    finally:
        structlog.reset_defaults()
    assert [line["event"] for line in log.entries if line["log_level"] == "error"] == [GOES]
