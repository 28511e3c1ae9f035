"""A store that fails at every step of a send: nobody is told what did not happen, and what happened once never happens
twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from chat.application.node import Node
from chat.application.queue import Again
from chat.domain.errors import Refused
from chat.domain.messages import DeleteMessage, SendMessage
from chat.infra.stores.memory import Memory, MemoryStore
from chat.infra.stores.sqlite import SqliteStore
from tests.faults.failing import STEPS, Failing
from tests.inside import Listener, do, listening, running, settle_in, submit


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Failing:
    return Failing(MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "chat.db"))


class World:
    """Ann and Bob in a room, each listening, and a store that can fail under them."""

    def __init__(self, store: Failing, node: Node, room: str, listeners: list[Listener]) -> None:
        self.store = store
        self.node = node
        self.room = room
        self.listeners = listeners

    async def send(self, *names: str) -> dict[str, Any]:
        """Messages whose command ids and texts are these names, by turns of Ann and Bob, all at once: what each
        sender is told."""
        told = {
            name: submit(self.node, ("ann", "bob")[index % 2], SendMessage(id=name, room=self.room, text=name))
            for index, name in enumerate(names)
        }
        return {name: await asyncio.wait_for(future, 10) for name, future in told.items()}

    async def texts(self) -> list[str]:
        return [event["text"] for event in await self.log() if event["type"] == "message_sent"]

    async def log(self) -> list[dict[str, Any]]:
        rows = await self.store.read_stream(f"room:{self.room}", 0, 1_000_000, 1_000_000)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        return [msgspec.json.decode(row.event) for row in rows]

    async def everybody_heard_all(self) -> None:
        """Each event once, in order."""
        head = len(await self.log())
        for listener in self.listeners:
            await listener.heard(self.room, head)
            assert listener.events(self.room) == list(range(listener.hello_seqs[self.room] + 1, head + 1))


@asynccontextmanager
async def world_on(store: Failing) -> AsyncIterator[World]:
    async with running(store) as node:
        room = await settle_in(node, "ann", "bob")
        async with listening(node, "ann", "bob") as listeners:
            yield World(store, node, room, listeners)


@pytest.fixture
async def world(store: Failing) -> AsyncIterator[World]:
    async with world_on(store) as world:
        yield world


def is_unavailable(outcome: Any) -> bool:
    return isinstance(outcome, Refused) and outcome.code == "unavailable"


async def rounds(number: int) -> None:
    """Let everybody else go on, so many rounds of the event loop."""
    for _ in range(number):
        await asyncio.sleep(0)


SENDING: Final = [step for step in STEPS if step.endswith(("begin", "commit"))]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", SENDING)
async def test_a_message_whose_turn_breaks_is_sent_once_by_asking_again(world: World, step: str, times: int) -> None:
    names = [f"message {number}" for number in range(6)]
    await world.send("before")
    world.store.fail_at(step, times)
    for _ in range(times):
        outcomes = await world.send(*names)
        refused = [name for name, outcome in outcomes.items() if isinstance(outcome, Refused)]
        assert all(is_unavailable(outcomes[name]) for name in refused)
        stored = await world.texts()
        assert all(stored.count(name) == 1 for name in names if name not in refused), "a false acknowledgement"
    outcomes = await world.send(*names)
    assert not any(isinstance(outcome, Refused) for outcome in outcomes.values())
    assert await world.texts() == ["before", *names]
    seqs = {event["text"]: event["seq"] for event in await world.log() if event["type"] == "message_sent"}
    assert {name: msgspec.json.decode(outcome)["seq"] for name, outcome in outcomes.items()} == {
        name: seqs[name] for name in names
    }
    await world.everybody_heard_all()


@pytest.mark.parametrize("step", SENDING)
async def test_what_is_in_doubt_is_settled_by_the_next_turn_of_anybody(world: World, step: str) -> None:
    world.store.fail_at(step)
    assert is_unavailable((await world.send("in doubt"))["in doubt"])
    await world.send("later")
    assert await world.texts() == (["in doubt", "later"] if step == "after commit" else ["later"])
    await world.everybody_heard_all()


async def test_what_was_committed_unknown_is_told_when_the_log_is_looked_at(world: World) -> None:
    world.store.fail_at("after commit")
    assert is_unavailable((await world.send("in doubt"))["in doubt"])
    assert [listener.events(world.room) for listener in world.listeners] == [[], []]
    await world.node.follower.catch_up()
    await world.everybody_heard_all()
    assert isinstance((await world.send("in doubt"))["in doubt"], Again)
    assert await world.texts() == ["in doubt"]
    await world.everybody_heard_all()


@pytest.mark.parametrize("step", STEPS)
async def test_a_deletion_whose_turn_breaks_is_done_once_by_asking_again(world: World, step: str) -> None:
    seq = (await do(world.node, "ann", SendMessage(id="send", room=world.room, text="regretted")))["seq"]
    world.node.cache.clear()
    world.store.fail_at(step)
    delete = DeleteMessage(id="delete", room=world.room, message=seq)
    with pytest.raises(Refused, match="unavailable"):
        await do(world.node, "ann", delete)
    done = await do(world.node, "ann", delete)
    assert done == {"room": world.room, "seq": seq + 1}
    assert [event["type"] for event in await world.log()][seq - 1 :] == ["message_sent", "message_deleted"]
    assert await world.texts() == [""]
    await world.everybody_heard_all()


async def test_only_what_the_store_rejects_is_refused(world: World) -> None:
    world.store.poison = b"poison"
    outcomes = await world.send("first", "poison", "last")
    assert [isinstance(outcome, Refused) for outcome in outcomes.values()] == [False, True, False]
    assert outcomes["poison"].code == "internal"
    world.store.poison = None
    assert not isinstance((await world.send("poison"))["poison"], Again)
    assert await world.texts() == ["first", "last", "poison"]
    await world.everybody_heard_all()


async def test_nobody_hears_of_what_is_not_committed_yet(world: World) -> None:
    reached, release = asyncio.Event(), asyncio.Event()

    async def wait(step: str) -> None:
        if step == "before commit":
            reached.set()
            await release.wait()

    world.store.step = wait
    sent = submit(world.node, "ann", SendMessage(id="slow", room=world.room, text="slow"))
    await reached.wait()
    await world.node.follower.catch_up()
    await rounds(5)
    assert not sent.done()
    assert [listener.events(world.room) for listener in world.listeners] == [[], []]
    release.set()
    await sent
    await world.everybody_heard_all()


async def test_a_log_that_is_looked_at_before_its_writer_knows_is_told_once(world: World) -> None:
    """The turn has committed, and before it hears of that the poll has read what it wrote."""

    async def look(step: str) -> None:
        if step == "after commit":
            await world.node.follower.catch_up()

    world.store.step = look
    for name in ("one", "two", "three"):
        await world.send(name)
    await world.everybody_heard_all()
    assert await world.texts() == ["one", "two", "three"]


# ---- two nodes on one store


async def test_a_hello_never_counts_what_is_told_after_it() -> None:
    """A state that a node reads may be ahead of its cursor. Whoever says hello then waits until the cursor is there;
    else the events between would be told once more."""
    memory = Memory()
    async with running(MemoryStore(memory)) as one:
        room = await settle_in(one, "ann", "bob")
        async with running(MemoryStore(memory)) as other:
            await do(one, "ann", SendMessage(id="1", room=room, text="the other node does not know yet"))
            listeners = []
            for _ in range(4):  # each finds what those before it have read, and are still waiting with
                listeners.append(Listener(other, "ann"))
                await rounds(10)
            assert not any(listener.wire.heard for listener in listeners)
            await other.follower.catch_up()
            last = (await do(other, "bob", SendMessage(id="2", room=room, text="it does now")))["seq"]
            for listener in listeners:
                await listener.greeted()
                await listener.heard(room, last)
                assert listener.events(room) == list(range(listener.hello_seqs[room] + 1, last + 1))
                await listener.leave()
