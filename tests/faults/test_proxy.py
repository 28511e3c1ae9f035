"""The fault proxy does what it says, and loses nothing that it does not break."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from tests.faults.load import until
from tests.faults.proxy import BLACK_HOLE, FINE, LINGER_NOT, PIECE, PIECES, SOCKET, Proxy, Weather
from tests.running import free_port

HEARD_WITHIN = 10.0
MEGABYTE = Random(1).randbytes(1_000_000)


class Peer:
    """One side of a connection, that keeps what it reads; how it ended is `b""` for an end, or the error."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = bytearray()
        self.end: bytes | OSError | None = None
        self.reading = asyncio.Event()
        self.reading.set()
        self.writer = writer
        self._reader = reader
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while self.end is None:
                await self.reading.wait()
                piece = await self._reader.read(1 << 16)
                self.heard += piece
                self.end = piece if not piece else None
        except OSError as error:
            self.end = error

    async def hears(self, said: bytes) -> None:
        await until(lambda: len(self.heard) >= len(said), "all that was said", HEARD_WITHIN)
        assert self.heard == said

    async def is_reset(self) -> None:
        await until(lambda: isinstance(self.end, ConnectionResetError), "a reset", HEARD_WITHIN)

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.writer.transport.abort()

    async def leave(self) -> None:
        self._task.cancel()
        self.writer.transport.abort()
        with suppress(asyncio.CancelledError):
            await self._task


class Line:
    """A server, the proxy, and connections through it: pairs of peers."""

    def __init__(self, proxy: Proxy, accepted: "asyncio.Queue[Peer]") -> None:
        self.proxy = proxy
        self.peers: list[Peer] = []
        self._accepted = accepted

    async def dial(self) -> Peer:
        client = Peer(*await asyncio.open_connection("127.0.0.1", self.proxy.port))
        self.peers.append(client)
        return client

    async def connect(self) -> tuple[Peer, Peer]:
        """The client, and the server's side of it."""
        client = await self.dial()
        server = await within(self._accepted.get())
        self.peers.append(server)
        return client, server


async def within(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, HEARD_WITHIN)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    accepted: asyncio.Queue[Peer] = asyncio.Queue()
    server = await asyncio.start_server(lambda reader, writer: accepted.put_nowait(Peer(reader, writer)), "127.0.0.1")
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        line = Line(proxy, accepted)
        try:
            yield line
        finally:
            for peer in line.peers:
                await peer.leave()
            server.close()
    assert not proxy.links


async def test_all_bytes_arrive_both_ways_and_in_order(line: Line) -> None:
    client, server = await line.connect()
    client.writer.write(MEGABYTE)
    server.writer.write(MEGABYTE[::-1])
    await server.hears(MEGABYTE)
    await client.hears(MEGABYTE[::-1])
    assert (line.proxy.to_server.passed, line.proxy.to_client.passed) == (len(MEGABYTE), len(MEGABYTE))


async def test_an_end_is_passed_on_after_all_that_was_said_and_one_way_only(line: Line) -> None:
    client, server = await line.connect()
    client.writer.write(MEGABYTE)
    client.writer.write_eof()
    await server.hears(MEGABYTE)
    await until(lambda: server.end == b"", "the end")
    server.writer.write(b"still here")
    await client.hears(b"still here")
    server.writer.write_eof()
    await until(lambda: client.end == b"" and not line.proxy.links, "the other end")


async def test_a_reset_is_passed_on(line: Line) -> None:
    for here, there in ((0, 1), (1, 0)):
        peers = await line.connect()
        peers[here].reset()
        await peers[there].is_reset()


async def test_a_delay_makes_each_byte_late_but_no_byte_later_than_that(line: Line) -> None:
    client, server = await line.connect()
    line.proxy.to_server.weather = Weather(delay=0.4)
    start = time.monotonic()
    for number in range(10):
        client.writer.write(bytes([number]))
        await asyncio.sleep(0.02)
    await server.hears(bytes(range(10)))
    assert 0.4 <= time.monotonic() - start < 4.0
    server.writer.write(b"prompt")
    await client.hears(b"prompt")


async def test_a_slow_direction_passes_on_so_many_bytes_a_second(line: Line) -> None:
    client, server = await line.connect()
    line.proxy.to_server.weather = Weather(rate=20_000)
    start = time.monotonic()
    client.writer.write(MEGABYTE[:10_000])
    await server.hears(MEGABYTE[:10_000])
    assert 0.4 <= time.monotonic() - start < 5.0


@pytest.mark.parametrize("ways", [("to_server",), ("to_client",), ("to_server", "to_client")], ids="+".join)
async def test_a_black_hole_holds_everything_until_the_weather_is_fine(line: Line, ways: tuple[str, ...]) -> None:
    client, server = await line.connect()
    for way in ways:
        getattr(line.proxy, way).weather = BLACK_HOLE
    client.writer.write(b"ask")
    server.writer.write(b"answer")
    server.writer.write_eof()
    other, accepted = await line.connect()
    other.writer.write(b"me too")
    heard = {"to_server": (server, b"ask"), "to_client": (client, b"answer")}
    for way, (peer, said) in heard.items():
        if way not in ways:
            await peer.hears(said)
    await asyncio.sleep(0.2)
    for way in ways:
        peer, said = heard[way]
        assert not peer.heard
        assert peer.end is None
        getattr(line.proxy, way).weather = FINE
        await peer.hears(said)
    await accepted.hears(b"me too")
    await until(lambda: client.end == b"", "the end")


async def test_a_black_hole_holds_the_end_of_a_connection_too(line: Line) -> None:
    ended, broken = await line.connect(), await line.connect()
    line.proxy.to_server.weather = BLACK_HOLE
    ended[0].writer.write_eof()
    broken[0].reset()
    await asyncio.sleep(0.2)
    assert [server.end for _, server in (ended, broken)] == [None, None]
    line.proxy.to_server.weather = FINE
    await broken[1].is_reset()
    await until(lambda: ended[1].end == b"", "the end")


async def test_who_sends_into_a_black_hole_has_to_wait_and_the_proxy_stays_small(line: Line) -> None:
    client, server = await line.connect()
    line.proxy.to_server.weather = BLACK_HOLE
    client.writer.write(MEGABYTE * 20)
    unsent = client.writer.transport.get_write_buffer_size
    before = -1
    while unsent() != before:
        before = unsent()
        await asyncio.sleep(0.2)
    taken = len(MEGABYTE) * 20 - before
    # What the proxy and its sockets hold, and the client's own socket.
    assert 0 < taken < PIECES * PIECE + 4 * SOCKET + 5_000_000
    assert not server.heard
    line.proxy.to_server.weather = FINE
    await server.hears(MEGABYTE * 20)


async def test_only_one_side_is_reset_and_the_other_hears_nothing(line: Line) -> None:
    client, server = await line.connect()
    line.proxy.reset_clients()
    await client.is_reset()
    server.writer.write(b"are you there?")
    await asyncio.sleep(0.2)
    assert server.end is None
    client, server = await line.connect()
    line.proxy.reset_servers()
    await server.is_reset()
    client.writer.write(b"are you there?")
    await asyncio.sleep(0.2)
    assert client.end is None


async def test_a_cut_resets_both_and_the_next_connection_works(line: Line) -> None:
    pairs = [await line.connect() for _ in range(3)]
    line.proxy.cut()
    for client, server in pairs:
        await client.is_reset()
        await server.is_reset()
    await until(lambda: not line.proxy.links, "the connections to be over")
    client, server = await line.connect()
    client.writer.write(b"again")
    await server.hears(b"again")


async def test_connections_can_be_refused_for_a_while(line: Line) -> None:
    line.proxy.refusing = True
    with suppress(ConnectionResetError):
        refused = await line.dial()
        await refused.is_reset()
    line.proxy.refusing = False
    client, server = await line.connect()
    client.writer.write(b"now")
    await server.hears(b"now")


async def test_without_a_server_connections_are_reset() -> None:
    async with Proxy(free_port()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await within(reader.read())
        writer.transport.abort()
