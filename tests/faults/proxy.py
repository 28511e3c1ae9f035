"""A TCP proxy that is the network between two programs, and its weather.

What befalls the bytes is said for each direction and may change at any time, for the connections that there are and
those to come: `Weather(delay=…)`, `Weather(rate=…)`, `BLACK_HOLE`, and `FINE` again. Nothing is ever lost within a
connection, as TCP has it: bytes that are held are late, and go on when the weather is fine. A connection can also be
reset, towards one of the two or both; what one side was not told of, it does not know.

    async with Proxy(port) as proxy:
        proxy.to_client.weather = BLACK_HOLE

A connection holds at most PIECES times PIECE bytes in each direction, and as much as SOCKET allows the kernel; whoever
sends more than that has to wait. So a delay is also a limit to what is on its way.
"""

import asyncio
import math
import socket
import struct
import time
from contextlib import suppress
from typing import Final, NamedTuple, Self

PIECE: Final = 8 * 1024  # bytes that are read at once
PIECES: Final = 8  # that wait in each direction
SOCKET: Final = 64 * 1024  # bytes that each socket buffers
TICK: Final = 0.05  # seconds' worth of bytes that a slow direction passes on at once
LINGER_NOT: Final = struct.pack("ii", 1, 0)  # a close with this is a reset


class Weather(NamedTuple):
    delay: float = 0.0  # seconds that every byte takes longer
    rate: float = math.inf  # bytes a second, for each connection
    held: bool = False  # nothing arrives, nor the end of a connection


FINE: Final = Weather()
BLACK_HOLE: Final = Weather(held=True)


class Way:
    """One direction of all connections."""

    def __init__(self) -> None:
        self.passed = 0  # bytes
        self._weather = FINE
        self._changed = asyncio.Event()

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def share(self) -> int:
        """Bytes that may go on at once."""
        return PIECE if self._weather.rate == math.inf else max(1, int(self._weather.rate * TICK))

    async def let_through(self, since: float) -> None:
        """Wait until what came at `since` may go on."""
        while self._weather.held or since + self._weather.delay > time.monotonic():
            left = None if self._weather.held else since + self._weather.delay - time.monotonic()
            await self._changes(left)

    async def pace(self, number: int) -> None:
        """Wait for as long as so many bytes take."""
        self.passed += number
        if self._weather.rate < math.inf:
            await self._changes(number / self._weather.rate)

    async def _changes(self, within: float | None) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within)


class End:
    """The proxy's end of a connection to one of the two programs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.is_told = True
        self._socket: socket.socket = writer.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.transport.set_write_buffer_limits(high=0)

    async def read(self) -> bytes | None:
        """Nothing at the end, and None when it was reset."""
        try:
            return await self.reader.read(PIECE)
        except OSError:
            return None

    async def write(self, piece: bytes) -> None:
        """Into the void, if the other is gone: that is for its own direction to tell."""
        with suppress(OSError):
            if self.is_told:
                self.writer.write(piece)
                await self.writer.drain()

    def finish(self) -> None:
        with suppress(OSError):
            if self.is_told:
                self.writer.write_eof()

    @property
    def is_gone(self) -> bool:
        return self.writer.transport.is_closing()

    def reset(self) -> None:
        if not self.is_gone:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.drop()

    def drop(self) -> None:
        self.writer.transport.abort()


Waiting = asyncio.Queue[tuple[float, bytes | None]]  # since when, and what: nothing is an end, and None a reset


class Link:
    """One connection of a client, and the proxy's own to the server."""

    def __init__(self, client: End, server: End) -> None:
        self.client = client
        self.server = server
        self._broken = asyncio.Event()

    async def run(self, to_server: Way, to_client: Way) -> None:
        """Until both have said all, or both are reset. One that goes on believing is kept until the proxy ends."""
        pumps = asyncio.create_task(self._pump(to_server, to_client))
        broken = asyncio.create_task(self._broken.wait())
        try:
            await asyncio.wait([pumps, broken], return_when=asyncio.FIRST_COMPLETED)
            pumps.cancel()
            if self._broken.is_set() and not (self.client.is_gone and self.server.is_gone):
                await asyncio.Event().wait()
        finally:
            self.client.drop()
            self.server.drop()
            for task in (pumps, broken):
                task.cancel()
            await asyncio.gather(pumps, broken, return_exceptions=True)

    async def _pump(self, to_server: Way, to_client: Way) -> None:
        async with asyncio.TaskGroup() as tasks:
            for source, way, sink in (self.client, to_server, self.server), (self.server, to_client, self.client):
                waiting: Waiting = asyncio.Queue(PIECES)
                tasks.create_task(_take(source, waiting))
                tasks.create_task(_give(waiting, way, sink))

    def reset(self, *ends: End) -> None:
        """Nothing more is passed on."""
        self._broken.set()
        self.client.is_told = self.server.is_told = False
        for end in ends:
            end.reset()


async def _take(source: End, waiting: Waiting) -> None:
    piece: bytes | None = b"-"
    while piece:
        piece = await source.read()
        await waiting.put((time.monotonic(), piece))


async def _give(waiting: Waiting, way: Way, sink: End) -> None:
    since, piece = await waiting.get()
    while piece:
        await way.let_through(since)
        part, piece = piece[: way.share], piece[way.share :]
        await sink.write(part)
        await way.pace(len(part))
        if not piece:
            since, piece = await waiting.get()
    await way.let_through(since)
    if piece is None and sink.is_told:
        sink.reset()
    else:
        sink.finish()


class Proxy:
    """Between whoever connects to `address` and the server at `port`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.to_server = Way()
        self.to_client = Way()
        self.refusing = False  # new connections are reset
        self.port: int
        self._upstream = (host, port)
        self._links: dict[asyncio.Task[None], Link | None] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def links(self) -> list[Link]:
        return [link for link in self._links.values() if link]

    async def __aenter__(self) -> Self:
        listener = bounded(socket.socket())
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=PIECE)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection is reset, towards both."""
        for link in self.links:
            link.reset(link.client, link.server)

    def reset_clients(self) -> None:
        """The server knows nothing of it."""
        for link in self.links:
            link.reset(link.client)

    def reset_servers(self) -> None:
        """The clients know nothing of it."""
        for link in self.links:
            link.reset(link.server)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = End(reader, writer)
        if self.refusing:
            end.reset()
            return
        task = asyncio.create_task(self._carry(end))
        self._links[task] = None
        task.add_done_callback(lambda done: self._forget(done, end))

    def _forget(self, done: asyncio.Task[None], client: End) -> None:
        del self._links[done]
        client.drop()

    async def _carry(self, client: End) -> None:
        task = asyncio.current_task()
        assert task
        try:
            server = await self._connect()
        except OSError:
            client.reset()
            return
        self._links[task] = link = Link(client, server)
        await link.run(self.to_server, self.to_client)

    async def _connect(self) -> End:
        upstream = bounded(socket.socket())
        try:
            upstream.setblocking(False)
            await asyncio.get_running_loop().sock_connect(upstream, self._upstream)
        except BaseException:
            upstream.close()
            raise
        return End(*await asyncio.open_connection(sock=upstream, limit=PIECE))


def bounded(plain: socket.socket) -> socket.socket:
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET)
    return plain
