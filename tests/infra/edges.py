"""The edge before an application of its own, for tests with real sockets; and peers that misbehave."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.server import ServerState

from chat.infra.admission import Admission
from chat.infra.edge import WRITER, EdgeConfig, WebSocketEdge
from chat.infra.http_edge import HttpEdge
from chat.infra.hub import Bundle
from chat.infra.server import listen, server
from tests.application.fakes import until


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The server runs on uvloop where there is one, and else without. Test modules import this."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Place:
    """Where it listens, and what it was told."""

    def __init__(self, port: int, admission: Admission) -> None:
        self.port = port
        self.admission = admission
        self.wires: list[WebSocketEdge] = []
        self.heard: list[bytes] = []
        self.lost = 0
        self.state = ServerState()
        self.asked: list[Any] = []
        self.answer = b"ok"
        self.on_heard: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def dropped(self) -> Counter[str]:
        return self.admission.dropped

    @property
    def wire(self) -> WebSocketEdge:
        return self.wires[-1]

    def is_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def edge(delay: float = 0, admission: Admission | None = None, **settings: Any) -> AsyncIterator[Place]:
    """The edge before an application that answers HTTP, after a while and with `answer`, and echoes what it hears. In
    the end everybody who came has to have left.
    """
    listener = listen("127.0.0.1", 0)
    place = Place(listener.getsockname()[1], admission or Admission(1_000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            place.asked.append(scope)
        await asyncio.sleep(delay)
        if scope["type"] == "http":
            length = b"%d" % len(place.answer)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            half = len(place.answer) // 2
            await send({"type": "http.response.body", "body": place.answer[:half], "more_body": True})
            await send({"type": "http.response.body", "body": place.answer[half:]})
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

    config = server(app, (), drain, place.admission).config
    assert isinstance(config, EdgeConfig)
    for name, value in settings.items():
        setattr(config, name, value)
    config.load()
    state = place.state
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: HttpEdge(config, state, {}), sock=listener)
    try:
        yield place
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await until(lambda: not state.tasks and not state.connections)
        assert (place.admission.in_all, place.admission.of_places) == (0, {})


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


def text(number: int) -> bytes:
    return masked(1, b"%d" % number)
