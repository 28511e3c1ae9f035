"""The edge: what a connection may cost, and that whoever stops talking or reading is let go."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from chat.infra import edge as edges
from chat.infra.edge import ASIDE, FRAGMENTS, WRITER, HttpEdge, WebSocketEdge, end_of_frame
from chat.infra.hub import Bundle
from chat.infra.server import address_of, listen, server, trusted
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
        self.on_heard: Callable[[], None] = lambda: None

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
            place.on_heard()

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


def binary(number: int) -> bytes:
    return masked(2, b"%d" % number)


def text(number: int) -> bytes:
    return masked(1, b"%d" % number)


def cut(number: int) -> bytes:
    return masked(1, b"", fin=False) + masked(0, b"%d" % number)


@pytest.mark.parametrize("kinds", [[text], [binary], [cut], [text, cut, binary]])
@pytest.mark.parametrize("delay", [0, 0.02], ids=["listened to", "early"])
async def test_a_burst_is_handed_over_no_faster_than_it_is_wanted_whole_and_in_order(
    kinds: list[Callable[[int], bytes]], delay: float
) -> None:
    async with edge(delay=delay) as place:
        peer = await lazy(place)
        await until(lambda: place.wires)

        def on_heard() -> None:
            if len(place.heard) % 10 == 0:
                place.wire.pause()

        place.on_heard = on_heard
        frames = [kinds[number % len(kinds)](number) for number in range(95)]
        await asyncio.get_running_loop().sock_sendall(peer, b"".join(frames))
        for wanted in range(10, 100, 10):
            await until(lambda: len(place.heard) >= wanted)  # noqa: B023
            await asyncio.sleep(0.002)
            assert len(place.heard) == wanted
            place.wire.resume()
            place.wire.pause()
            place.wire.resume()
            assert len(place.heard) == wanted  # never in the middle of something else
        await until(lambda: len(place.heard) == 95)
        await asyncio.get_running_loop().sock_sendall(peer, text(95) + masked(8, struct.pack("!H", 1000)))
        await until(lambda: place.lost)
        assert place.heard == [b"%d" % number for number in range(96)]
        peer.close()


async def test_who_pauses_and_goes_on_within_a_frame_is_handed_the_next_one_after_it() -> None:
    """As when a command is refused at once while it is taken in."""
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        depth = deepest = 0

        def on_heard() -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            place.wire.pause()
            place.wire.resume()
            depth -= 1

        place.on_heard = on_heard
        await asyncio.get_running_loop().sock_sendall(peer, b"".join(map(text, range(50))))
        await until(lambda: len(place.heard) == 50)
        assert deepest == 1
        assert place.heard == [b"%d" % number for number in range(50)]
        peer.close()


async def test_a_goodbye_to_somebody_paused_is_answered() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.on_heard = lambda: place.wire.pause()
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2) + masked(8, struct.pack("!H", 1000)))
        await until(lambda: place.heard)
        place.wire.hang_up(4008, "lagging: resume")
        place.wire.pause()
        await until(lambda: place.lost)
        assert place.heard == [b"1"]
        peer.close()


async def test_a_pause_is_cut_off_with_its_connection() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.on_heard = lambda: place.wire.pause()
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2))
        await until(lambda: place.heard)
        place.wire.resume()
        place.wire.transport.abort()
        await until(lambda: place.lost)
        assert place.heard == [b"1"]
        await place.wire.gone()
        peer.close()


async def test_what_breaks_on_a_frame_that_was_kept_ends_the_connection() -> None:
    broken: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)

        def on_heard() -> None:
            place.wire.pause()
            assert len(place.heard) == 1

        place.on_heard = on_heard
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2))
        await until(lambda: place.heard)
        place.wire.resume()
        await until(lambda: place.lost)
        assert [type(error) for error in broken] == [AssertionError]
        peer.close()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_the_end_of_a_frame_is_known_when_it_is_there(size: int) -> None:
    frame = Frame(Opcode.BINARY, bytes(size)).serialize(mask=True)
    for length in {0, 1, 2, 3, 5, 6, len(frame) - 1} - {len(frame)}:
        assert end_of_frame(b"?" + frame[:length], 1, 2**16) == 0
    assert end_of_frame(b"?" + frame + b"?", 1, 2**16) == 1 + len(frame)


def test_who_breaks_the_protocol_in_the_head_of_a_frame_is_not_waited_for() -> None:
    assert end_of_frame(struct.pack("!BBQ", 0x82, 0x80 | 127, 2**16), 0, 2**16) == 0
    assert end_of_frame(struct.pack("!BBQ", 0x82, 0x80 | 127, 2**16 + 1), 0, 2**16) == 10
    assert end_of_frame(b"\x81\x05", 0, 2**16) == 2


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


async def test_a_flood_of_pings_is_not_answered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "ASIDE", 1_000_000)
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


@pytest.mark.parametrize(
    "flood",
    [
        masked(9, b"") * (ASIDE + 1),
        masked(10, b"") * (ASIDE + 1),
        (masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * 40 + masked(0, b"x")) * (ASIDE // 41 + 1),
    ],
    ids=["pings", "pongs", "fragments"],
)
async def test_a_flood_of_what_asks_for_nothing_ends_it(flood: bytes) -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        await asyncio.get_running_loop().sock_sendall(peer, flood + masked(1, b"after"))
        assert struct.pack("!H", 1008) in await rest(peer)
        assert b"after" not in place.heard
        peer.close()


async def test_a_few_pings_in_every_second_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge() as place, connect(place.url) as websocket:
        await until(lambda: place.wires)
        for _ in range(3):
            for _ in range(ASIDE):
                await (await websocket.ping())
            monkeypatch.setattr(place.wire, "_second", 0.0)  # another second


async def test_a_goodbye_after_a_flood_comes_too_late() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        flood = masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * FRAGMENTS + masked(0, b"x")
        await asyncio.get_running_loop().sock_sendall(peer, flood + masked(8, struct.pack("!H", 1000)))
        assert struct.pack("!H", 1008) in await rest(peer)
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


# ---- the end


async def ended_at(place_peer: Callable[[socket.socket], Any]) -> float:
    """A server that drains by sending its one socket away; for how long it then takes to end."""
    listener = listen("127.0.0.1", 0)
    wires: list[WebSocketEdge] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wires.append(scope["extensions"][WRITER])
        gone = asyncio.Event()
        wires[0].listen(lambda _: None, gone.set)
        await gone.wait()

    async def drain(_: float) -> None:
        wires[0].hang_up(1012, "500")

    made = server(app, (), drain)
    serving = asyncio.create_task(made.serve([listener]))
    peer = await lazy(Place(listener.getsockname()[1]))
    await until(lambda: wires)
    start = asyncio.get_running_loop().time()
    made.leave()
    await place_peer(peer)
    await serving
    peer.close()
    return asyncio.get_running_loop().time() - start


async def test_who_is_sent_away_at_the_end_has_a_moment_to_answer() -> None:
    loop = asyncio.get_running_loop()

    async def slow(peer: socket.socket) -> None:
        told = b""
        while struct.pack("!H", 1012) not in told:
            told += await loop.sock_recv(peer, 65_536)
        with pytest.raises(TimeoutError):  # it is not closed yet
            await asyncio.wait_for(loop.sock_recv(peer, 1), 0.3)
        await loop.sock_sendall(peer, text(1) + masked(8, struct.pack("!H", 1012)))
        assert await asyncio.wait_for(loop.sock_recv(peer, 1), 0.5) == b""

    assert await ended_at(slow) < 1.5


async def test_who_never_answers_at_the_end_is_not_waited_for() -> None:
    async def deaf(_: socket.socket) -> None:
        """Does nothing."""

    assert 1 <= await ended_at(deaf) < 3


# ---- where it listens


def test_a_proxy_of_ipv4_is_believed_on_a_listener_of_ipv6_too() -> None:
    hosts = _TrustedHosts(trusted(("10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32")))
    for host in ("10.1.2.3", "::ffff:10.1.2.3", "::ffff:127.0.0.1", "2001:db8::1"):
        assert host in hosts
    for host in ("11.1.2.3", "::ffff:11.1.2.3", "::10.1.2.3", "::1"):
        assert host not in hosts


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
