"""A node in the test's own process: the real flow and hub on the memory store, and tools that do as they are told."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from chat.application.authentication import Asker
from chat.application.connection import Connection
from chat.application.doors import frame_decoder
from chat.application.node import Node
from chat.application.queue import Outcome, Waiting
from chat.application.settings import Settings
from chat.domain.accounts import Register
from chat.domain.errors import StoreError
from chat.domain.log import Begun, Found, Loaded, LogRow, Rows, Writes
from chat.domain.programs import Publication
from chat.domain.rooms import CreateRoom
from chat.domain.vocabulary import Command
from chat.infra.hub import Bundle, Hub
from chat.infra.stores.memory import Memory, MemoryStore
from chat.logic.mediator import Tables
from tests.logic.given import TABLES

LATER = "2099-01-01T00:00:00.000000Z"
DECODER = frame_decoder(TABLES)


class FakeClock:
    def __init__(self) -> None:
        self.time = "2026-01-31T12:00:00.000000Z"
        self.monotonic = 1_000.0

    def now(self) -> str:
        return self.time

    def seconds(self) -> float:
        return self.monotonic


class CountedIds:
    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.count = 0

    def fresh(self) -> str:
        self.count += 1
        return f"{self.prefix}i{self.count:04}"


class PlainPasswords:
    pending = 0

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, hashed: str, password: str) -> bool:
        return hashed == f"hash of {password}"

    def close(self) -> None:
        """Nothing to stop."""


class PlainTokens:
    def __init__(self) -> None:
        self.count = 0

    def draw(self) -> tuple[str, str]:
        self.count += 1
        return f"secret{self.count}", self.hash(f"secret{self.count}")

    def derive(self, seed: str) -> tuple[str, str]:
        return f"secret of {seed}", self.hash(f"secret of {seed}")

    def hash(self, secret: str) -> str:
        return f"hash of {secret}"

    def draw_password(self) -> str:
        return "one time only"


class FaultyStore(MemoryStore):
    """Fails the next calls of a name with these errors; a call may also be held back until a gate opens."""

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__(memory)
        self.faults: dict[str, list[StoreError | None]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()  # calls that stand at a gate
        self.calls: list[str] = []
        self.locked_loads: list[tuple[str, ...]] = []

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        if gate := self.gates.get(name):
            self.waiting.add(name)
            await gate.wait()
            self.waiting.discard(name)
        self._fail(name)

    def _fail(self, name: str) -> None:
        if faults := self.faults.get(name):
            error = faults.pop(0)
            if error:
                raise error

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        await self._called("begin")
        return await super().begin(after, asked, keys)

    async def commit(self, writes: Writes) -> None:
        try:
            await self._called("commit")
        except StoreError:
            await self.abandon()
            raise
        await super().commit(writes)
        self._fail("committed")

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        await self._called("load_locked")
        self.locked_loads.append(tuple(keys))
        return await super().load_locked(keys)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        await self._called("read_about")
        return await super().read_about(names)

    async def load(self, keys: Sequence[str]) -> Loaded:
        loaded = await super().load(keys)
        await self._called("load")  # the answer is on its way while other things happen
        return loaded

    async def find(self, rows: Sequence[Rows]) -> list[Found]:
        await self._called("find")
        return await super().find(rows)

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        await self._called("read_stream")
        return await super().read_stream(stream, after, upto, limit)


class FakeBroker:
    """Keeps what is rung until the test hands it on, and takes as many publications as the test lets it."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_heard = True
        self.dropped: Counter[str] = Counter()
        self.rung: list[bytes] = []
        self.published: list[Publication] = []
        self.takes = 1_000_000
        self.gate: asyncio.Event | None = None  # publishing stands there
        self.publishing = 0

    async def run(self, listener: Any) -> None:
        await asyncio.Event().wait()

    def ring(self, news: bytes) -> None:
        self.rung.append(news)

    async def publish(self, publications: Sequence[Publication]) -> int:
        self.publishing += 1
        if self.gate:
            await self.gate.wait()
        taken = publications[: self.takes]
        self.published += taken
        self.takes -= len(taken)
        return len(taken)


class FakeWire:
    """A connection whose peer is the test: `frames` is what it was sent."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.paused = False
        self.backlog = 0
        self.writes = 0
        self.on_frame: Callable[[bytes], None]
        self.on_lost: Callable[[], None]
        self.listening = asyncio.Event()

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self.on_frame, self.on_lost = on_frame, on_lost
        self.listening.set()

    def say(self, type: str, **fields: Any) -> None:
        """As the peer does."""
        self.on_frame(json.dumps({"type": type, **fields}).encode())

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def write(self, bundles: Sequence[Bundle]) -> int:
        if self.closed is None:
            self.writes += 1
            self.frames += [json.loads(payload) for bundle in bundles for payload in bundle.payloads]
        return self.backlog

    def unsent(self) -> int:
        return self.backlog

    async def drained(self) -> None:
        await asyncio.sleep(0)

    def hang_up(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def is_paused(self) -> bool:
        return self.paused

    def is_open(self) -> bool:
        return self.closed is None

    def seqs(self, room: str) -> list[int]:
        return [frame["seq"] for frame in self.frames if frame.get("room") == room and "by" in frame]


class World:
    """A node and what it stands on. Turns are taken one by one, when the test says so."""

    def __init__(
        self, store: MemoryStore | None = None, tables: Tables = TABLES, ids: str = "", **settings: Any
    ) -> None:
        self.store = store or FaultyStore()
        self.hub = Hub()
        self.clock = FakeClock()
        self.tokens = PlainTokens()
        self.broker = FakeBroker()
        self.node = Node(
            tables,
            Settings(**{"database": "memory:", "registration": "open", "rate": 0, **settings}),
            self.store,
            broker=self.broker,
            hub=self.hub,
            clock=self.clock,
            ids=CountedIds(ids),
            passwords=PlainPasswords(),
            tokens=self.tokens,
        )

    @property
    def faulty(self) -> FaultyStore:
        assert isinstance(self.store, FaultyStore)
        return self.store

    @property
    def head(self) -> int:
        return len(self.store.memory.log.rows)

    def waiting(self, actor: str, command: Command, reply: Callable[[Outcome], None]) -> Waiting:
        return Waiting(command, actor, "", self.node.ids.fresh(), reply)

    async def turn(self, *wishes: tuple[str, Command]) -> list[Outcome]:
        """All of these in one turn; their outcomes in the same order."""
        outcomes: list[Outcome | None] = [None] * len(wishes)

        def replying(index: int) -> Callable[[Outcome], None]:
            def reply(outcome: Outcome) -> None:
                assert outcomes[index] is None, "answered twice"
                outcomes[index] = outcome

            return reply

        batch = [self.waiting(actor, command, replying(index)) for index, (actor, command) in enumerate(wishes)]
        await self.node.turns.turn(batch)
        return [outcome for outcome in outcomes if outcome is not None]

    async def do(self, actor: str, command: Command) -> Any:
        """One command by itself; what it was acknowledged with."""
        [outcome] = await self.turn((actor, command))
        assert isinstance(outcome, bytes), outcome
        return json.loads(outcome)

    async def register(self, name: str) -> str:
        """An account whose first session has its own id."""
        fresh = self.node.ids.fresh()
        told: list[Outcome] = []
        command = Register(id=fresh, name=name, password=f"hash of {name}", token=f"hash of {name}")
        await self.node.turns.turn([Waiting(command, fresh, "", fresh, told.append)])
        assert isinstance(told[0], bytes), told
        return fresh

    async def room(self, owner: str, *members: str) -> str:
        wish = CreateRoom(id=self.node.ids.fresh(), title="Tea", kind="private", members=members)
        return str((await self.do(owner, wish))["room"])

    def news(self) -> list[bytes]:
        """What it has rung since this was called last."""
        rung, self.broker.rung = self.broker.rung, []
        return rung

    def hear(self, *news: bytes) -> None:
        for each in news:
            self.node.doorbell.hear(each)

    def enter(self, account: str, *rooms: str) -> FakeWire:
        """A socket of the account's first session, that hears of these rooms."""
        wire = FakeWire()
        self.hub.enter(wire, account, account, dict.fromkeys(rooms, 0)).admit(b'{"type":"hello"}')
        return wire

    def forget(self) -> None:
        """As if everything at hand had been trimmed."""
        self.node.cache.clear()


async def world(store: MemoryStore | None = None, tables: Tables = TABLES, **settings: Any) -> World:
    made = World(store, tables, **settings)
    await made.node.start()
    return made


async def worlds(number: int = 2, **settings: Any) -> list[World]:
    """Nodes on one log, none of which hears of the others unless it is told."""
    memory = Memory()
    made = [World(FaultyStore(memory), ids="abc"[index], **settings) for index in range(number)]
    for each in made:
        await each.node.start()
    return made


async def until(holds: Callable[[], Any]) -> None:
    """Let the others run until this holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 (nobody signals what a test waits for)
            await asyncio.sleep(0)


def connect(here: World, account: str, expires: str = LATER) -> tuple[FakeWire, "asyncio.Task[None]"]:
    """A connection of the account's first session, which has the account's id."""
    wire = FakeWire()
    serving = Connection(here.node, wire, Asker(account, account, expires), DECODER).serve()
    return wire, asyncio.create_task(serving)


@asynccontextmanager
async def connected(here: World, account: str, expires: str = LATER) -> AsyncIterator[FakeWire]:
    """Past hello."""
    wire, serving = connect(here, account, expires)
    await wire.listening.wait()
    await until(lambda: wire.frames)
    yield wire
    wire.on_lost()
    await serving


@asynccontextmanager
async def turning(here: World) -> AsyncIterator[None]:
    running = asyncio.create_task(here.node.turns.run())
    yield
    running.cancel()
    await asyncio.wait([running])
