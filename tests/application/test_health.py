"""Whether a node wants traffic: what the store does to its readiness, and how it finds out by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chat.application import follower, health
from chat.domain.errors import Refused, Unavailable
from chat.domain.log import LogInfo
from chat.domain.messages import SendMessage
from chat.domain.rooms import RenameRoom
from tests.application.fakes import FaultyStore, World, until, world


class Trying(FaultyStore):
    """Counts how often it is asked, and takes no writes while `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.probes = 0
        self.looks = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.full:
            raise Unavailable("full")

    async def read_info(self) -> LogInfo:
        self.looks += 1
        await asyncio.sleep(0)
        return await super().read_info()


@asynccontextmanager
async def running(here: World) -> AsyncIterator[None]:
    task = asyncio.create_task(here.node.run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def why_not(here: World) -> str | None:
    """What a monitor is told, if anything is wrong."""
    try:
        await here.node.ready()
    except Refused as refused:
        return f"{refused.status} {refused.detail}"
    return None


async def a_room() -> tuple[World, Trying, str, str]:
    store = Trying()
    here = await world(store)
    ann = await here.register("ann")
    return here, store, ann, await here.room(ann)


async def test_a_store_that_took_no_turn_makes_a_node_unready_until_it_takes_one() -> None:
    here, store, ann, room = await a_room()
    assert await why_not(here) is None
    store.faults["commit"] = [Unavailable("full")]
    [outcome] = await here.turn((ann, SendMessage(id="1", room=room, text="hi")))
    assert isinstance(outcome, Refused)
    assert await why_not(here) == "503 The store takes nothing new."
    [outcome] = await here.turn((ann, RenameRoom(id="2", room="nowhere", title="x")))
    assert await why_not(here) == "503 The store takes nothing new."  # a refusal is not written
    await here.do(ann, SendMessage(id="1", room=room, text="hi"))
    assert await why_not(here) is None


async def test_a_store_that_is_well_again_is_found_out_though_nobody_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE", 0.001)
    here, store, ann, room = await a_room()
    async with running(here):
        await asyncio.sleep(0.01)
        assert store.probes == 0
        store.full = True
        store.faults["commit"] = [Unavailable("full")]
        await here.turn((ann, SendMessage(id="1", room=room, text="hi")))
        await until(lambda: store.probes > 2)
        assert await why_not(here)
        store.full = False
        await until(lambda: not here.node.turns.in_trouble)
        assert await why_not(here) is None


async def test_a_node_that_cannot_look_at_the_log_for_long_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL", 0.001)
    here, *_ = await a_room()
    here.clock.monotonic += health.BEHIND + 1
    assert await why_not(here) == "503 This node does not know what is new."
    async with running(here):
        await until(lambda: here.node.follower.unseen_for == 0)
    assert await why_not(here) is None


async def test_however_many_ask_the_store_is_looked_at_once() -> None:
    here, store, _, _ = await a_room()
    store.looks = 0
    assert await asyncio.gather(*(why_not(here) for _ in range(100))) == [None] * 100
    assert store.looks == 1
    here.clock.monotonic += 1
    await why_not(here)
    assert store.looks == 2
