"""The edge: what a connection may cost, and that whoever stops talking or reading is let go."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chat.infra import edge as edges
from chat.infra.edge import FRAGMENTS, WRITER, HttpEdge, WebSocketEdge
from chat.infra.hub import Bundle
from chat.infra.server import address_of, listen, server
from tests.application.fakes import until


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The server runs on uvloop where there is one, and else without."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
Serve = Callable[[WebSocketEdge], Any]


class Place:
    """Where it listens, and what it was told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.wires: list[WebSocketEdge] = []
        self.heard: list[bytes] = []
        self.lost = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def wire(self) -> WebSocketEdge:
        return self.wires[-1]

    def is_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def edge(delay: float = 0, **settings: Any) -> AsyncIterator[Place]:
    """The edge before an application that answers HTTP, after a while, and echoes what it hears."""
    listener = listen("127.0.0.1", 0)
    place = Place(listener.getsockname()[1])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(delay)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        wire = scope["extensions"][WRITER]
        place.wires.append(wire)
        await asyncio.sleep(delay)
        gone = asyncio.Event()

        def on_frame(frame: bytes) -> None:
            place.heard.append(frame)
            wire.write([Bundle([frame])])

        def on_lost() -> None:
            place.is_lost()
            gone.set()

        wire.listen(on_frame, on_lost)
        await gone.wait()

    async def drain(_: float) -> None:
        """Nothing is under way here."""

    config = server(app, (), drain).config
    for name, value in settings.items():
        setattr(config, name, value)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: HttpEdge(config, state, {}), sock=listener)
    try:
        yield place
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await until(lambda: not state.tasks)


async def lazy(place: Place, data: bytes = HANDSHAKE) -> socket.socket:
    """A peer that speaks, and does not read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", place.port))
    await loop.sock_sendall(peer, data)
    return peer


async def rest(peer: socket.socket) -> bytes:
    """All that comes until the end, or a reset."""
    loop = asyncio.get_running_loop()
    told = b""
    try:
        while data := await asyncio.wait_for(loop.sock_recv(peer, 65_536), 5):
            told += data
    except ConnectionResetError:
        pass
    return told


def masked(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A frame as a client sends it, whose mask is nothing."""
    return struct.pack("!BB", (0x80 if fin else 0) | opcode, 0x80 | len(payload)) + b"\0" * 4 + payload


# ---- HTTP


@pytest.mark.parametrize("head", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(edges, "HEADERS_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place, head)
        assert await rest(peer) == b""
        peer.close()


async def test_a_second_head_on_a_connection_has_to_arrive_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "HEADERS_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTT")
        assert (await rest(peer)).endswith(b"ok")
        peer.close()


async def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "HEADERS_WITHIN", 0.02)
    async with edge(delay=0.1) as place:
        peer = await lazy(place, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await rest(peer)).endswith(b"ok")
        peer.close()


async def test_a_head_may_not_be_endless() -> None:
    async with edge() as place:
        peer = await lazy(place, b"GET / HTTP/1.1\r\n")
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError):  # noqa: PT011, PT012
            for _ in range(1_000):
                await asyncio.wait_for(loop.sock_sendall(peer, b"X-Filler: " + b"x" * 10_000 + b"\r\n"), 5)
        peer.close()


# ---- websockets


async def test_frames_come_in_and_go_out_in_order() -> None:
    async with edge() as place, connect(place.url) as websocket:
        for number in range(100):
            await websocket.send(f"{number} ä")
        assert [await websocket.recv() for _ in range(100)] == [f"{number} ä" for number in range(100)]
        place.wire.write([Bundle([b"one", b"two"]), Bundle([b"x" * 70_000])])
        assert [await websocket.recv() for _ in range(3)] == ["one", "two", "x" * 70_000]
        await websocket.send(b"bytes")
        assert await websocket.recv() == "bytes"
        assert place.wire.unsent() == 0
        await place.wire.drained()


async def test_what_comes_before_anybody_listens_is_kept() -> None:
    async with edge(delay=0.02) as place, connect(place.url) as websocket:
        await websocket.send("early")
        await websocket.send("bird")
        assert [await websocket.recv(), await websocket.recv()] == ["early", "bird"]


async def test_who_goes_before_anybody_listens_is_lost_at_once() -> None:
    async with edge(delay=0.02) as place:
        async with connect(place.url):
            pass
        await until(lambda: place.lost)


async def test_frames_are_read_however_they_are_cut() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        loop = asyncio.get_running_loop()
        frames = masked(1, b"one") + masked(9, b"ping") + masked(1, b"") + masked(1, b"tw", fin=False) + masked(0, b"o")
        for at in range(len(frames)):
            place.heard.clear()
            await loop.sock_sendall(peer, frames[:at])
            await asyncio.sleep(0.001)
            await loop.sock_sendall(peer, frames[at:] + masked(1, b"end"))
            await until(lambda: b"end" in place.heard)
            assert place.heard == [b"one", b"", b"two", b"end"]
        peer.close()


async def test_it_can_be_told_not_to_read_for_a_while() -> None:
    async with edge() as place, connect(place.url) as websocket:
        await websocket.send("first")
        await websocket.recv()
        place.wire.pause()
        place.wire.pause()
        await websocket.send("second")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.recv(), 0.02)
        place.wire.resume()
        place.wire.resume()
        assert await websocket.recv() == "second"


async def test_after_a_goodbye_nothing_goes_out_or_comes_in() -> None:
    async with edge() as place, connect(place.url) as websocket:
        await until(lambda: place.wires)
        place.wire.hang_up(4008, "lagging: resume")
        place.wire.hang_up(1012, "another")
        place.wire.write([Bundle([b"too late"])])
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4008, "lagging: resume")
        await until(lambda: place.lost)
        assert place.lost == 1
        place.wire.write([Bundle([b"far too late"])])
        place.wire.hang_up(1012, "again")
        assert place.wire.unsent() == 0
        await place.wire.drained()


async def test_once_it_is_cut_off_nothing_is_asked_of_the_connection() -> None:
    """Between the cut and the moment when everybody knows."""
    async with edge() as place, connect(place.url) as websocket:
        await websocket.send("hello")
        await websocket.recv()
        for before in (place.wire.resume, place.wire.pause):
            before()
        place.wire.transport.abort()
        place.wire.resume()
        place.wire.pause()
        place.wire.write([Bundle([b"too late"])])
        place.wire.hang_up(1012, "too late")
        place.wire.handle_ping()
        assert place.wire.unsent() == 0
        await until(lambda: place.lost)


async def test_who_does_not_answer_a_goodbye_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.write([Bundle([os.urandom(500_000)])])
        assert place.wire.unsent() > 0
        place.wire.hang_up(4008, "lagging: resume")
        await until(lambda: place.lost)
        peer.close()


async def test_who_stops_reading_is_dropped_though_the_buffer_is_full() -> None:
    async with edge(ws_ping_interval=0.05, ws_ping_timeout=0.05) as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.write([Bundle([os.urandom(800_000)])])
        waiting = asyncio.create_task(place.wire.drained())
        await until(lambda: place.lost)
        await waiting
        peer.close()


async def test_a_flood_of_pings_is_not_answered_for_ever() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        loop = asyncio.get_running_loop()
        pings = masked(9, b"x" * 125) * 500
        with pytest.raises(OSError):  # noqa: PT011, PT012
            for _ in range(500):
                await asyncio.wait_for(loop.sock_sendall(peer, pings), 5)
                assert place.wire.unsent() < 512 * 1024
        peer.close()


async def test_a_message_has_so_many_fragments_and_no_more() -> None:
    async with edge() as place:
        for count, heard in ((FRAGMENTS, True), (FRAGMENTS + 1, False)):
            frames = [masked(1 if number == 0 else 0, b"x", fin=number == count - 1) for number in range(count)]
            place.wires.clear()
            place.heard.clear()
            peer = await lazy(place)
            await until(lambda: place.wires)
            await asyncio.get_running_loop().sock_sendall(peer, b"".join(frames))
            await until(lambda: place.heard or place.wire.close_sent)
            await asyncio.get_running_loop().sock_sendall(peer, masked(8, struct.pack("!H", 1000)))
            told = await rest(peer)
            assert (b"x" * FRAGMENTS in told) == heard
            assert (struct.pack("!H", 1008) in told) != heard
            peer.close()
            assert place.heard == ([b"x" * FRAGMENTS] if heard else [])


async def test_who_is_on_the_way_out_is_not_sent_away() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        flood = masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * FRAGMENTS + masked(0, b"x")
        await asyncio.get_running_loop().sock_sendall(peer, flood + masked(8, struct.pack("!H", 1000)))
        assert struct.pack("!H", 1000) in await rest(peer)
        peer.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (struct.pack("!BBQ", 0x81, 0x80 | 127, 2**20) + b"\0" * 4 + b"x" * 300_000, 1009),
        (b"\x81\x05hello", 1002),
        (masked(3, b"?"), 1002),
        (masked(0, b"?"), 1002),
        (masked(1, b"?", fin=False) + masked(1, b"?"), 1002),
    ],
    ids=["too large", "not masked", "an odd opcode", "the end of nothing", "a message within a message"],
)
async def test_who_breaks_the_protocol_is_told_so_whatever_else_is_under_way(data: bytes, code: int) -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        with suppress(OSError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(peer, data * 3), 5)
        assert struct.pack("!H", code) in await rest(peer)
        peer.close()
        await until(lambda: place.lost)


async def test_who_breaks_the_protocol_and_stays_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        await asyncio.get_running_loop().sock_sendall(peer, b"\x81\x05hello")
        await until(lambda: place.lost)
        peer.close()


# ---- where it listens


def test_an_address_can_be_opened() -> None:
    listener = listen("0.0.0.0", 0)
    port = listener.getsockname()[1]
    assert address_of(listener) == f"http://127.0.0.1:{port}"
    listener.close()


def test_a_port_is_taken_once() -> None:
    listener = listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])
    listener.close()
