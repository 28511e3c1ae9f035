"""Clients as the contract wants them, under load: each sends with ids of its own, asks again with the same id after
every reconnect, resumes its rooms, keeps live events aside while it resumes, and stays away as long as a server that
restarts asks it to. What it does and hears goes into the history that the checker judges. Seeded: the same seed does
the same things, though not at the same moments.
"""

import asyncio
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests import canaries
from tests.client import Account, register
from tests.faults.checker import Attempt, History, Seen, Sent, Stored, Verdict, demand, read_log

AGAIN: Final = {"unavailable", "busy", "too_fast", "internal"}  # refusals after which a client asks again
LOST: Final = (OSError, WebSocketException, TimeoutError, EOFError)
UNANSWERED: Final = 8  # commands that one client has open
RESTARTING: Final = 1012

Dial = Callable[[], Awaitable[socket.socket]]


class Client:
    """`pause` is the longest that it waits between two messages; `length` that of their texts, in characters, and
    `filler` most of these. `dial` makes its
    connections, where it is not enough to know the address; `tag` tells it from others of its account.
    """

    def __init__(
        self,
        account: Account,
        seed: int,
        *,
        pause: float = 0.03,
        length: int = 40,
        filler: str = ".",
        dial: Dial | None = None,
        tag: str = "",
    ) -> None:
        self.account = account
        self.history = History(account.id)
        self.pause = pause
        self.sending = True
        self.connections = 0
        self.closed: list[int | None] = []  # the codes of the connections that ended
        self.hints: list[float] = []  # seconds that it was asked to stay away, and did
        self.resets: list[dict[str, Any]] = []
        self.latencies: list[float] = []
        self.refused_after: list[float] = []  # seconds from a command to its refusal
        self.silence = 0.0  # seconds, the longest between two messages that it heard
        self._heard_at = 0.0
        self.last: dict[str, int] = {}  # the seq known of each room
        self.websocket: ClientConnection | None = None
        self.dial = dial
        self._name = account.name + tag
        self._length = length
        self._filler = filler
        self._chance = Random(seed)
        self._numbers = count(1)
        self._unanswered: dict[str, Attempt] = {}
        self._again: deque[Attempt] = deque()
        self._sent_at: dict[str, float] = {}
        self._hello: dict[str, int] = {}
        self._aside: dict[str, list[Seen]] = {}  # live events of the rooms that it resumes

    @property
    def is_answered(self) -> bool:
        return not self._unanswered and not self._aside

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            hints = len(self.hints)
            with suppress(*LOST):
                await self._connect()
            away = self.hints[-1] if len(self.hints) > hints else self._chance.uniform(0.02, 0.15)
            await asyncio.sleep(away)

    async def _connect(self) -> None:
        url = self.account.address.replace("http", "ws", 1) + "/ws"
        headers = {"Authorization": f"Bearer {self.account.token}"}
        options: dict[str, Any] = {"sock": await self.dial()} if self.dial else {}
        async with connect(
            url,
            additional_headers=headers,
            max_size=None,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            **options,
        ) as websocket:
            self.websocket = websocket
            try:
                await self._converse(websocket)
            finally:
                self._part(websocket.close_code, websocket.close_reason)

    def _part(self, code: int | None, reason: str | None) -> None:
        self.websocket = None
        self.closed.append(code)
        if code == RESTARTING:
            self.hints.append(int(reason or "") / 1_000)

    async def _converse(self, websocket: ClientConnection) -> None:
        await self._greet(websocket, json.loads(await websocket.recv()))
        sender = asyncio.create_task(self._send(websocket))
        try:
            async for frame in websocket:
                assert isinstance(frame, str)
                await self._hear(frame.encode(), json.loads(frame))
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError, *LOST):
                await sender

    # ---- what it says

    async def _greet(self, websocket: ClientConnection, hello: dict[str, Any]) -> None:
        assert hello["type"] == "hello", hello
        self.connections += 1
        self._hello = {room["id"]: room["seq"] for room in hello["rooms"]}
        known = {room: seq for room, seq in self.last.items() if room in self._hello}
        self._aside = {room: [] for room in known}
        for room in self._hello.keys() - known.keys():
            self._leap(room, self._hello[room])
        if known:
            await websocket.send(json.dumps({"type": "resume", "epoch": hello["epoch"], "rooms": known}))

    async def _send(self, websocket: ClientConnection) -> None:
        """First what was not answered on the connection before, in its order."""
        self._again.clear()
        for attempt in list(self._unanswered.values()):
            await self._say(websocket, attempt)
        while True:
            if self._again:
                await self._say(websocket, self._again.popleft())
            elif self.sending and len(self._unanswered) < UNANSWERED:
                await self._say(websocket, self._attempt())
            await asyncio.sleep(self._chance.uniform(0, self.pause))

    def _attempt(self) -> Attempt:
        name = f"{self._name}-{next(self._numbers):06d}"
        text = name.ljust(self._length, self._filler)
        canaries.keep(text)
        attempt = Attempt(name, self._chance.choice(sorted(self._hello)), text)
        self.history.attempts[name] = self._unanswered[name] = attempt
        return attempt

    async def _say(self, websocket: ClientConnection, attempt: Attempt) -> None:
        self._sent_at[attempt.id] = time.monotonic()
        await websocket.send(json.dumps({"type": "send_message", **attempt._asdict()}))

    # ---- what it hears

    async def _hear(self, frame: bytes, heard: dict[str, Any]) -> None:
        match heard["type"]:
            case "ack":
                self._acknowledged(heard)
            case "refused":
                await self._refused(heard)
            case "caught_up":
                self._caught_up(heard["room"])
            case "reset":
                self.resets.append(heard)
                self._leap(heard["room"], heard["seq"])
                self._caught_up(heard["room"])
            case _ if "room" in heard and "seq" in heard:
                self._event(heard["room"], Seen(heard["seq"], frame))

    def _acknowledged(self, heard: dict[str, Any]) -> None:
        name = heard["id"]
        if name not in self._unanswered:  # asked twice, answered twice: with the same answer
            assert self.history.acknowledged[name] == heard["seq"], heard
            return
        del self._unanswered[name]
        self.history.acknowledged[name] = heard["seq"]
        self.latencies.append(time.monotonic() - self._sent_at.pop(name))

    async def _refused(self, heard: dict[str, Any]) -> None:
        self.history.refused.append(heard)
        self.refused_after.append(time.monotonic() - self._sent_at[heard["id"]] if "id" in heard else 0.0)
        assert heard["code"] in AGAIN, heard
        if name := heard.get("id"):
            await asyncio.sleep(0.01)
            self._again.append(self._unanswered[name])

    def _event(self, room: str, seen: Seen) -> None:
        before, self._heard_at = self._heard_at, time.monotonic()
        self.silence = max(self.silence, self._heard_at - (before or self._heard_at))
        if room in self._aside and seen.seq > self._hello[room]:
            self._aside[room].append(seen)
        else:
            self._take(room, seen)

    def _caught_up(self, room: str) -> None:
        for seen in self._aside.pop(room):
            self._take(room, seen)

    def _take(self, room: str, seen: Seen) -> None:
        self.history.seen[room].append(seen)
        self.last[room] = max(seen.seq, self.last.get(room, 0))

    def _leap(self, room: str, seq: int) -> None:
        """Up to there it is known from elsewhere."""
        self._take(room, Seen(seq))

    # ---- what befalls it

    def stop_reading(self) -> None:
        """The peer's bytes stay where they are, in buffers that are never emptied."""
        assert self.websocket
        self.websocket.transport.pause_reading()

    def read_on(self) -> None:
        if self.websocket:
            self.websocket.transport.resume_reading()

    def reset_connection(self) -> None:
        """Gone without a word: the peer gets an RST."""
        if self.websocket:
            linger = struct.pack("ii", 1, 0)
            self.websocket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.websocket.transport.abort()


def crowd(address: str, people: int, rooms: int, seed: int, names: str = "client", **options: Any) -> list[Client]:
    """So many clients, all in the same rooms."""
    accounts = [register(address, f"{names}{number}") for number in range(people)]
    for number in range(rooms):
        room = accounts[0].do("create_room", title=f"Room {number}", kind="public")["room"]
        for account in accounts[1:]:
            account.do("join_room", room=room)
    return [Client(account, seed * 1_000 + number, **options) for number, account in enumerate(accounts)]


class Running:
    """The clients at work; afterwards every one of them is ended."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = list(clients)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(client.run()) for client in self._clients]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def until(holds: Callable[[], bool], what: str, within: float = 30) -> None:
    """Wait until a condition holds, while everything else goes on."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        await asyncio.sleep(0.01)


async def settle(clients: Sequence[Client], read_heads: Callable[[], dict[str, int]] | None = None) -> None:
    """Stop sending, and wait until everybody has all answers and knows of everything: up to the last seq of each room,
    as the first client is told it, where nobody knows better."""
    for client in clients:
        client.sending = False
    await until(lambda: all(client.is_answered for client in clients), "every answer")
    heads = await asyncio.to_thread(read_heads or (lambda: _heads(clients[0])))
    await until(lambda: all(client.is_answered and client.last == heads for client in clients), "everybody to catch up")


def _heads(client: Client) -> dict[str, int]:
    return {room["id"]: room["seq"] for room in client.account.ask("list_rooms")["rooms"]}


def read_pages(account: Account, rooms: Collection[str]) -> dict[str, list[Sent]]:
    """Every message, page by page as a client reads them."""
    return {room: list(_pages(account, room)) for room in rooms}


def _pages(account: Account, room: str) -> Iterable[Sent]:
    after, more = 0, True
    while more:
        page = account.ask("list_messages", room=room, after=after, limit=100)
        for message in page["messages"]:
            yield Sent(message["seq"], message["author"], message["text"])
        after, more = page["messages"][-1]["seq"] if page["messages"] else after, page["more"]


async def demand_all(clients: Sequence[Client], file: Path, folder: Path) -> Verdict:
    """The whole judgement, at rest: the log, the pages, and what everybody heard."""
    await settle(clients)
    return await demand_of(clients, read_log(file), folder)


async def demand_of(clients: Sequence[Client], stored: Stored, folder: Path) -> Verdict:
    """The same of a log that was read already."""
    pages = await asyncio.to_thread(read_pages, clients[0].account, list(stored.log))
    histories = [client.history for client in clients]
    return demand(histories, Stored(stored.log, pages, stored.positions), folder)


def milliseconds(latencies: Iterable[float]) -> str:
    """The median, the 99th percentile and the worst."""
    ordered = sorted(latencies) or [0.0]
    chosen = (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])
    return " / ".join(f"{1_000 * latency:.0f}" for latency in chosen) + " ms (p50 / p99 / max)"
