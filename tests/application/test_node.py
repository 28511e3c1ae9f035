"""A node's life and what it tells that nobody keeps: readiness, draining, presence, typing, rates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from chat.application import follower, node
from chat.application.queue import Outcome
from chat.domain.errors import Refused, Unavailable
from chat.domain.messages import SendMessage
from chat.domain.rooms import Room
from chat.logic import presence
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Version
from tests.application.fakes import FakeWire, World, until, world


async def tea(**settings: Any) -> tuple[World, str, str, str]:
    made = await world(**settings)
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


@asynccontextmanager
async def running(here: World) -> AsyncIterator[None]:
    task = asyncio.create_task(here.node.run())
    yield
    task.cancel()
    await asyncio.wait([task])


def enter(here: World, account: str, *rooms: str) -> FakeWire:
    wire = FakeWire()
    here.hub.enter(wire, account, account, dict.fromkeys(rooms, 0)).admit(b'{"type":"hello"}')
    return wire


# ---- health


async def test_a_node_is_ready_while_its_store_is_and_until_it_drains() -> None:
    here, *_ = await tea()
    assert await here.node.ready() == {"store": "ok", "broker": "ok"}

    async def gone() -> None:
        raise Unavailable("gone")

    read_info = here.store.read_info
    here.store.read_info = gone  # type: ignore[method-assign, assignment]
    here.clock.monotonic += 1
    with pytest.raises(Refused) as refused:
        await here.node.ready()
    assert refused.value.status == 503
    here.store.read_info = read_info  # type: ignore[method-assign]
    await here.node.drain(1)
    with pytest.raises(Refused) as refused:
        await here.node.ready()
    assert refused.value.status == 503


async def test_a_drain_answers_what_is_under_way_and_then_sends_everybody_away() -> None:
    here, ann, bob, room = await tea()
    wires = [enter(here, account, room) for account in (ann, bob)]
    told: list[Outcome] = []
    async with running(here):
        here.faulty.gates["commit"] = asyncio.Event()
        here.node.submit(here.waiting(ann, SendMessage(id="1", room=room, text="hi"), told.append))
        await until(lambda: here.faulty.waiting)
        here.node.submit(here.waiting(bob, SendMessage(id="2", room=room, text="hi"), told.append))
        draining = asyncio.create_task(here.node.drain(5))
        await until(lambda: here.node.draining)
        with pytest.raises(Refused) as refused:
            here.node.submit(here.waiting(ann, SendMessage(id="3", room=room, text="hi"), told.append))
        assert refused.value.code == "unavailable"
        assert [wire.closed for wire in wires] == [None, None]
        here.faulty.gates["commit"].set()
        await draining
    assert [isinstance(outcome, bytes) for outcome in told] == [True, True]
    assert [wire.seqs(room) for wire in wires] == [[4, 5], [4, 5]]
    closed = [wire.closed for wire in wires]
    assert [end[0] for end in closed if end] == [1012, 1012]
    assert all(int(end[1]) >= 100 for end in closed if end)


async def test_a_drain_that_takes_too_long_sends_everybody_away_all_the_same() -> None:
    here, ann, _, room = await tea()
    wire = enter(here, ann, room)
    async with running(here):
        here.faulty.gates["commit"] = asyncio.Event()
        here.node.submit(here.waiting(ann, SendMessage(id="1", room=room, text="hi"), lambda _: None))
        with structlog.testing.capture_logs() as logs:
            await here.node.drain(0.01)
    assert wire.closed
    assert wire.closed[0] == 1012
    assert [line["event"] for line in logs] == ["not everything was answered in time"]


async def test_many_are_sent_away_in_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "WAVE", 3)
    here, ann, _, _ = await tea()
    wires = [enter(here, ann) for _ in range(10)]
    await here.node.drain(1)
    reasons = [wire.closed[1] for wire in wires if wire.closed]
    assert len(set(reasons)) == 10  # nobody comes back with anybody else


async def test_what_nobody_told_of_is_found_by_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL", 0.001)
    here, ann, _, room = await tea()
    other = World(type(here.faulty)(here.store.memory), ids="other")
    await other.node.start()
    wire = enter(here, ann, room)
    fails = iter([Unavailable("gone")])
    read_log = here.store.read_log

    async def once(after: int, limit: int) -> Any:
        for error in fails:
            raise error
        return await read_log(after, limit)

    here.store.read_log = once  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as logs:
        async with running(here):
            await other.do(ann, SendMessage(id="1", room=room, text="hi"))
            await until(lambda: here.node.cursor.position == here.head)
    here.hub.flush()
    assert wire.seqs(room) == [4]
    assert [line["event"] for line in logs] == ["the log cannot be read"]


# ---- presence and typing


async def tick(here: World) -> None:
    """What the node does once a second."""
    await here.node.presence.tell()
    here.hub.flush()


def told(wire: FakeWire) -> list[dict[str, Any]]:
    return [frame for frame in wire.frames if frame["type"] == "presence"]


async def test_presence_is_told_in_one_frame_and_absence_after_a_grace() -> None:
    here, ann, bob, room = await tea()
    wire = enter(here, ann, room)
    await tick(here)
    assert told(wire) == [{"type": "presence", "room": room, "online": [ann], "offline": []}]
    enter(here, bob, room)
    enter(here, bob, room)
    await tick(here)
    assert told(wire)[1:] == [{"type": "presence", "room": room, "online": [bob], "offline": []}]
    for socket in here.hub.of_account(bob):
        here.hub.leave(socket)
    here.clock.monotonic += presence.GRACE
    await tick(here)
    enter(here, bob, room)  # back in time
    await tick(here)
    for socket in here.hub.of_account(bob):
        here.hub.leave(socket)
    assert len(told(wire)) == 2
    here.clock.monotonic += presence.GRACE + 0.1
    await tick(here)
    assert told(wire)[2:] == [{"type": "presence", "room": room, "online": [], "offline": [bob]}]


async def test_a_room_of_more_than_100_is_told_nothing() -> None:
    here, ann, bob, room = await tea()
    wire = enter(here, ann, room)
    version = here.node.cache.get(room_key(room))
    assert version
    assert isinstance(version.state, Room)
    members = dict.fromkeys([ann, bob, *map(str, range(98))], "member")
    large = Version(version.seq, Room(kind="private", members=members))  # type: ignore[arg-type]
    here.node.cache.settle(room_key(room), large, here.head)
    await tick(here)
    assert len(told(wire)) == 1
    full = Version(version.seq, Room(kind="private", members=members | {"one more": "member"}))  # type: ignore[arg-type]
    here.node.cache.settle(room_key(room), full, here.head)
    enter(here, bob, room)
    await tick(here)
    assert len(told(wire)) == 1


async def test_presence_needs_no_state_that_is_not_at_hand() -> None:
    here, ann, bob, room = await tea()
    wire = enter(here, ann, room)
    here.forget()
    await tick(here)
    assert told(wire) == []
    here.node.cache.admit(await here.store.load([account_key(bob)]))
    enter(here, bob, room)
    await tick(here)
    assert told(wire) == []


async def test_typing_is_told_once_in_three_seconds() -> None:
    here, ann, bob, room = await tea()
    writer, reader = enter(here, ann, room), enter(here, bob, room)
    for seconds in (0, 1, 1.9, 0.2):
        here.clock.monotonic += seconds
        here.node.presence.tell_typing(ann, room)
        here.node.presence.tell_typing(ann, room)
    here.hub.flush()
    typing = [frame for frame in reader.frames if frame["type"] == "typing"]
    assert typing == [{"type": "typing", "room": room, "account": ann}] * 2
    assert not any(frame["type"] == "typing" for frame in writer.frames)


# ---- refusals


async def test_a_refusal_that_many_are_told_gathers_nobodys_frames() -> None:
    """While the store is away, all are told the same one: raised again and again, it would hold what each was doing."""
    here, ann, _, room = await tea()
    here.faulty.faults["begin"] = [Unavailable("gone")] * 5
    depths = []
    async with running(here):
        for number in range(5):
            with pytest.raises(Refused) as refused:
                await here.node.do(SendMessage(id=f"{number}", room=room, text="hi"), ann, "")
            assert refused.value.code == "unavailable"
            depths.append(len(refused.traceback))
    assert len(set(depths)) == 1, depths
