"""A node inside the test: wired by chat.py with whatever store the test hands it, and talked to without a socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from runpy import run_path
from typing import Any, Final
from unittest.mock import patch

import msgspec

from chat.application import doors
from chat.application.authentication import Asker
from chat.application.connection import Connection
from chat.application.node import Node
from chat.application.ports import Broker, Clock, Store
from chat.application.queue import Outcome, Waiting
from chat.application.settings import Settings
from chat.domain.accounts import Register
from chat.domain.errors import Refused
from chat.domain.rooms import AddMember, CreateRoom
from chat.domain.vocabulary import Command
from chat.infra.hub import Bundle
from chat.logic.mediator import Tables

WIRING: Final = run_path(str(Path(__file__).parents[1] / "chat.py"), run_name="wiring")
TABLES: Final[Tables] = WIRING["TABLES"]
SETTINGS: Final = Settings(rate=0, registration="open")
DECODER: Final = doors.frame_decoder(TABLES)
FOREVER: Final = "9999-12-31T23:59:59.999999Z"

_numbers = count(1)


def new_node(store: Store, clock: Clock | None = None, broker: Broker | None = None) -> Node:
    """By another clock than the machine's and with another broker, if they are given."""
    node_of: Callable[[Settings, Store], Node] = WIRING["node_of"]
    instead: dict[str, object] = {"SystemClock": lambda: clock} if clock else {}
    instead |= {"broker_of": lambda _: broker} if broker else {}
    with patch.dict(node_of.__globals__, instead):
        return node_of(SETTINGS, store)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Node]:
    """A node whose turns go round. It does not poll: what nobody tells it, it does not know."""
    node = new_node(store)
    await node.start()
    turns = asyncio.create_task(node.turns.run())
    try:
        yield node
    finally:
        turns.cancel()
        with suppress(asyncio.CancelledError):
            await turns
        await node.close()


def submit(node: Node, actor: str, command: Command, *, session: str = "", fresh: str = "") -> asyncio.Future[Outcome]:
    """As a door does it. The future is what the sender is told."""
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    node.submit(Waiting(command, actor, session, fresh or f"id{next(_numbers)}", told.set_result))
    return told


async def do(node: Node, actor: str, command: Command, **beside: str) -> Any:
    """The acknowledgement of a command, read. Raises `Refused`."""
    outcome = await asyncio.wait_for(submit(node, actor, command, **beside), 10)
    if isinstance(outcome, Refused):
        raise outcome
    return msgspec.json.decode(outcome)


async def settle_in(node: Node, *names: str) -> str:
    """Accounts of these names, whose ids and sessions are the names, in one public room of the first one; its id."""
    for name in names:
        command = Register(id=f"register {name}", name=name, password=f"hash of {name}", token=f"token of {name}")
        await do(node, name, command, fresh=name)
    room: str = (await do(node, names[0], CreateRoom(id="create", title="Room", kind="public"), fresh="room"))["room"]
    for name in names[1:]:
        await do(node, names[0], AddMember(id=f"add {name}", room=room, account=name))
    return room


class Wire:
    """A connection without a network. `heard` is what a client gets, frame by frame; `on_frame` is how it speaks."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed: int | None = None
        self.on_frame: Callable[[bytes], None]
        self.on_lost: Callable[[], None]

    def write(self, bundles: Sequence[Bundle]) -> int:
        if self.closed is None:
            self.heard += [payload for bundle in bundles for payload in bundle.payloads]
        return 0

    def unsent(self) -> int:
        return 0

    def hang_up(self, code: int, reason: str) -> None:
        self.closed = code

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self.on_frame, self.on_lost = on_frame, on_lost

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def drained(self) -> None: ...


class Listener:
    """A client's connection to a node; by default in the session that the account got when it was registered here."""

    def __init__(self, node: Node, account: str, session: str = "") -> None:
        self.wire = Wire()
        self._connection = Connection(node, self.wire, Asker(account, session or account, FOREVER), DECODER)
        self._task = asyncio.create_task(self._connection.serve())

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(frame) for frame in self.wire.heard]

    @property
    def hello(self) -> dict[str, Any]:
        hello: dict[str, Any] = self.frames[0]
        assert hello["type"] == "hello"
        return hello

    @property
    def hello_seqs(self) -> dict[str, int]:
        return {room["id"]: room["seq"] for room in self.hello["rooms"]}

    def events(self, room: str) -> list[int]:
        """The seqs of the room's events, as they came."""
        return [frame["seq"] for frame in self.frames if frame.get("room") == room and "by" in frame and "seq" in frame]

    def say(self, type: str, **fields: Any) -> None:
        self.wire.on_frame(msgspec.json.encode({"type": type, **fields}))

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until a condition holds; what ends the connection meanwhile is raised."""
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, f"waited for more than {self.frames}"
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0)

    async def greeted(self) -> None:
        await self.until(lambda: self.wire.heard)

    async def heard(self, room: str, upto: int) -> None:
        """Wait until it knows of the room's event `upto`."""
        await self.until(lambda: self.events(room)[-1:] == [upto])

    async def leave(self) -> None:
        if hasattr(self.wire, "on_lost"):
            self.wire.on_lost()
        else:
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@asynccontextmanager
async def listening(node: Node, *accounts: str) -> AsyncIterator[list[Listener]]:
    listeners = [Listener(node, account) for account in accounts]
    try:
        for listener in listeners:
            await listener.greeted()
        yield listeners
    finally:
        for listener in listeners:
            await listener.leave()
