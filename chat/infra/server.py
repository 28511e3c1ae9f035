"""The server: uvicorn with this chat's edge, which drains before it shuts down.

A first SIGTERM or SIGINT drains: what is under way is answered and every socket is told when to come back, all within
WITHIN seconds. A second one ends at once.
"""

import asyncio
import gc
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import ip_network
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from chat.infra.admission import Admission, connections
from chat.infra.edge import EdgeConfig, WebSocketEdge
from chat.infra.http_edge import HttpEdge

WITHIN: Final = 8.0  # of the ten seconds that a container is given
ANSWERED_WITHIN: Final = 1.0  # seconds for peers to answer a close
RESTARTING: Final = 1012
SOON: Final = "1000"  # milliseconds after which to come back
SEND_BUFFER: Final = 128 * 1024
BACKLOG: Final = 4_096  # connections that wait to be accepted
UNACKNOWLEDGED: Final = 20_000  # milliseconds that sent bytes may stay unacknowledged

SPARE_FILES: Final = 100  # for what is no connection
SWITCH: Final = 1e-3  # seconds
YOUNG: Final = 10_000  # objects that a collection looks through: two or three milliseconds
OLDER: Final = 20  # of these, until what has outlived them is looked through
OLDEST: Final = 100  # of those, until everything is

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, drain: Callable[[float], Awaitable[None]], announce: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()  # not before a signal would be heard

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(1)
        self.should_exit = True

    def leave(self) -> None:
        """Drain and end, as if asked by a signal."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("draining")
        for server in self.servers:
            server.close()
        await self._drain(WITHIN / 2)
        await self._answers()
        cutting = asyncio.get_running_loop().call_later(WITHIN / 4, self._cut_off)
        await super().shutdown(sockets)
        cutting.cancel()

    async def _answers(self) -> None:
        """Let those who were sent a close answer it, or be gone: a connection that is closed while its peer still sends
        is reset, and takes the close code with it. Who has not been said hello to was not sent away with the others.
        """
        edges = [connection for connection in self.server_state.connections if isinstance(connection, WebSocketEdge)]
        for edge in edges:
            edge.hang_up(RESTARTING, SOON)
        if leaving := [edge.gone() for edge in edges if edge.close_sent]:
            await asyncio.wait(leaving, timeout=ANSWERED_WITHIN)

    def _cut_off(self) -> None:
        """Whoever is not done by now does not keep the others waiting."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def raise_file_limit(sockets: int) -> None:
    """As many open files as may be needed, or as the system allows: each connection is one, and the usual limit of
    1,024 is soon reached.
    """
    wanted = connections(sockets) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if files > soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files < wanted:
        log.warning("fewer open files than --sockets needs: raise the limit (ulimit -n)", files=files, needed=wanted)


def files_for_connections() -> int | None:
    """What the limit leaves, that was asked for by `raise_file_limit` before. None where there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(0, soft - SPARE_FILES)


def listen(host: str, port: int) -> socket.socket:
    """A socket whose connections inherit bounds on what a peer that stops reading can hold on to.

    Raises `OSError`.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
        listener.bind(address)
        listener.listen(BACKLOG)  # who comes before uvicorn is up waits
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def trusted(proxies: tuple[str, ...]) -> list[str]:
    """Each network of IPv4 also as a listener on `::` sees it (RFC 4291, 2.5.5.2)."""
    networks = [ip_network(proxy) for proxy in proxies]
    mapped = [f"::ffff:{each.network_address}/{96 + each.prefixlen}" for each in networks if each.version == 4]
    return [*map(str, networks), *mapped]


def server(
    app: Any,
    proxies: tuple[str, ...],
    drain: Callable[[float], Awaitable[None]],
    admission: Admission,
    announce: Callable[[], object] = lambda: None,
) -> Server:
    """`announce` is called when requests and signals are heard."""
    config = EdgeConfig(
        app,
        http=HttpEdge,
        ws=WebSocketEdge,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=trusted(proxies),
        timeout_graceful_shutdown=int(WITHIN / 2),
        backlog=BACKLOG,
    )
    config.admission = admission
    return Server(config, drain, announce)


def address_of(listener: socket.socket) -> str:
    """The address to open, of a socket that listens."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def run(work: Coroutine[Any, Any, int]) -> int:
    """On uvloop where there is one.

    The collector looks through the young objects, by the ten thousand, and through older ones only when very many have
    come and stayed: what breaks leaves circles with its traceback, and is young. Nothing of the chat's own is in a
    circle when it is over, which a test proves; to look through it all, with ten thousand sockets open, stops everybody
    for a fifth of a second. A thread that waits for the interpreter (the one that commits) is let in when the event
    loop waits, or after a millisecond without that: with Python's 5 ms a turn of 500 took seconds.
    """
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDEST)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
