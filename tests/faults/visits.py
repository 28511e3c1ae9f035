"""Every way to come and to go: a visitor chooses one after the other. Whatever the server does about it, a visit ends
with nothing left on the visitor's side, and in the rooms that it began in."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection

from tests.client import PASSWORD, Account, Talk
from tests.faults.load import LOST

QUERIES: Final = ("me", "list_rooms", "list_sessions", "list_accounts", "browse_rooms")

_numbers = count()


class Visitor:
    """Is in the `hall`; may go to the `lobby`, which is public."""

    def __init__(self, account: Account, hall: str, lobby: str, seed: int) -> None:
        self.account = account
        self.visits: Counter[str] = Counter()
        self._hall = hall
        self._lobby = lobby
        self._chance = Random(seed)
        self._seen = 0
        self.ways: tuple[Callable[[], Awaitable[None]], ...] = (
            *[self.talk] * 6,
            self.log_in_and_out,
            self.join_and_leave,
            self.ask_much_and_vanish,
            self.go_before_hello,
            self.half_a_handshake,
            self.half_a_frame,
            self.half_a_request,
            self.linger,
            self.talk_nonsense,
            self.say_too_much,
            self.come_without_token,
        )

    async def visit(self) -> None:
        await self._visit(self._chance.choice(self.ways))

    async def visit_in_every_way(self) -> None:
        for way in dict.fromkeys(self.ways):
            await self._visit(way)

    async def _visit(self, way: Callable[[], Awaitable[None]]) -> None:
        self.visits[way.__name__] += 1
        with suppress(*LOST):
            await way()

    # ---- with a websocket

    @asynccontextmanager
    async def _websocket(self, account: Account | None = None) -> AsyncIterator[Talk]:
        """Closed, reset, or dropped without a word."""
        async with Talk(account or self.account, close_timeout=2) as talk:
            await talk.until(type="hello")
            try:
                yield talk
            finally:
                end = self._chance.choice(("close", "reset", "drop"))
                if end != "close":
                    let_go(talk.websocket, reset=end == "reset")

    async def talk(self) -> None:
        async with self._websocket() as talk:
            hello = talk.heard[0]
            await talk.say("resume", epoch=hello["epoch"], rooms={self._hall: max(0, self._seen - 5)})
            await talk.say("typing", room=self._hall)
            await talk.ask(self._chance.choice(QUERIES))
            if not self._chance.randrange(4):
                told = await talk.ask("send_message", id=self._id(), room=self._hall, text="hello to @host")
                self._seen = told.get("seq", self._seen)
                await talk.ask("mark_read", id=self._id(), room=self._hall, message=max(1, self._seen))
            await asyncio.sleep(self._chance.uniform(0, 0.5))

    async def log_in_and_out(self) -> None:
        """Out while the socket is open; who is too fast comes another time."""
        answer = await asyncio.to_thread(
            Account(self.account.address).post, "log_in", name=self.account.name, password=PASSWORD
        )
        if answer.status == 200:
            other = Account(self.account.address, answer.json["token"], self.account.name)
            async with self._websocket(other) as talk:
                await talk.ask("log_out", id=self._id())
                await talk.end()

    async def join_and_leave(self) -> None:
        async with self._websocket() as talk:
            await talk.ask("join_room", id=self._id(), room=self._lobby)
            await talk.ask("list_members", room=self._lobby)
            await talk.ask("leave_room", id=self._id(), room=self._lobby)

    async def ask_much_and_vanish(self) -> None:
        """Nobody is there for the answers."""
        async with self._websocket() as talk:
            for _ in range(80):
                await talk.say("list_messages", id=self._id(), room=self._hall, limit=100)
            await talk.say("resume", epoch="", rooms={self._hall: 0})

    async def talk_nonsense(self) -> None:
        async with self._websocket() as talk:
            for _ in range(30):
                await talk.websocket.send("{nonsense")
            await talk.end()

    async def say_too_much(self) -> None:
        async with self._websocket() as talk:
            await talk.say("send_message", id=self._id(), room=self._hall, text="x" * 70_000)
            await talk.end()

    async def come_without_token(self) -> None:
        async with self._websocket(Account(self.account.address, "nobody.x")):
            pass

    # ---- with bytes

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        place = urlsplit(self.account.address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            yield reader, writer
        finally:
            if self._chance.randrange(2):
                reset_at_close(writer.get_extra_info("socket"))
            writer.transport.abort()
            with suppress(*LOST):
                await writer.wait_closed()

    def _handshake(self) -> bytes:
        return (
            f"GET /ws HTTP/1.1\r\nHost: {urlsplit(self.account.address).netloc}\r\n"
            f"Authorization: Bearer {self.account.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    async def go_before_hello(self) -> None:
        async with self._connection() as (_, writer):
            writer.write(self._handshake())
            await asyncio.sleep(self._chance.choice((0, 0, 0.001, 0.003)))

    async def half_a_handshake(self) -> None:
        async with self._connection() as (_, writer):
            handshake = self._handshake()
            writer.write(handshake[: self._chance.randrange(len(handshake))])
            await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def half_a_frame(self) -> None:
        async with self._connection() as (reader, writer):
            writer.write(self._handshake())
            await reader.readuntil(b"\r\n\r\n")
            frame = b"\x81\xfe\x01\x00mask" + bytes(256)
            writer.write(frame[: self._chance.randrange(1, 200)])
            await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def half_a_request(self) -> None:
        async with self._connection() as (_, writer):
            head = (
                f"POST /api/send_message HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.account.token}\r\n"
                "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
            )
            writer.write(head.encode() + b'{"room"')
            await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def linger(self) -> None:
        """A connection that is kept alive, with nothing more to ask."""
        async with self._connection() as (reader, writer):
            for path in ("/healthz", "/api/me", "/nowhere", "/"):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await reader.read(1)
            await asyncio.sleep(self._chance.uniform(0, 1))

    def _id(self) -> str:
        return f"{self.account.name} {next(_numbers)}"


def let_go(websocket: ClientConnection, *, reset: bool) -> None:
    if reset:
        reset_at_close(websocket.transport.get_extra_info("socket"))
    websocket.transport.abort()


def reset_at_close(connection: Any) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
