"""The server: how it ends, and where it listens."""

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts

from chat.infra import server as servers
from chat.infra.admission import Admission, connections
from chat.infra.edge import WRITER, WebSocketEdge
from chat.infra.server import SPARE_FILES, address_of, files_for_connections, listen, raise_file_limit, server, trusted
from tests.application.fakes import until
from tests.infra.edges import Place, lazy, masked, text
from tests.infra.edges import anyio_backend as anyio_backend
from tests.running import ROOT

# ---- the end


async def test_who_was_not_said_hello_to_is_told_when_to_come_back() -> None:
    listener = listen("127.0.0.1", 0)
    wires: list[WebSocketEdge] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        wires.append(scope["extensions"][WRITER])
        await wires[0].gone()

    async def drain(_: float) -> None:
        """Knows of nobody."""

    made = server(app, (), drain, Admission(100))
    serving = asyncio.create_task(made.serve([listener]))
    peer = await lazy(Place(listener.getsockname()[1], Admission(100)))
    await until(lambda: wires)
    made.leave()
    told = b""
    while more := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 1_000), 10):
        told += more
    peer.close()
    await serving
    assert told.endswith(b"\x88\x06" + struct.pack("!H", 1012) + b"1000")


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

    made = server(app, (), drain, Admission(100))
    serving = asyncio.create_task(made.serve([listener]))
    peer = await lazy(Place(listener.getsockname()[1], Admission(100)))
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


# ---- files


class Limits:
    """The process's limit of open files, as `resource` shows it."""

    RLIMIT_NOFILE = 7
    RLIM_INFINITY = -1

    def __init__(self, soft: int, hard: int) -> None:
        self.files = (soft, hard)

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.files

    def setrlimit(self, _: int, files: tuple[int, int]) -> None:
        soft, hard = files
        assert hard == self.files[1]
        assert soft <= hard or hard == self.RLIM_INFINITY
        self.files = files


NEEDED = connections(5_000) + SPARE_FILES


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (1_024, 100_000, NEEDED),
        (1_024, 4_096, 4_096),
        (1_024, -1, NEEDED),
        (100_000, 100_000, 100_000),
        (-1, -1, -1),
    ],
)
def test_as_many_files_are_asked_for_as_there_may_be_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, then: int
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(servers, "resource", limits)
    raise_file_limit(5_000)
    assert limits.files == (then, hard)
    assert files_for_connections() == (None if then == -1 else then - SPARE_FILES)


def test_the_collector_looks_through_a_few_young_objects_at_a_time_and_seldom_through_others() -> None:
    code = """
import gc
from chat.infra.server import run
generations = []
gc.callbacks.append(lambda phase, about: phase == "stop" and generations.append(about["generation"]))
async def work():
    generations.clear()
    kept = [[] for _ in range(400_000)]
    return 0 if generations.count(0) >= 30 and generations.count(1) == sum(generations) <= 2 else 1
raise SystemExit(run(work()))
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
