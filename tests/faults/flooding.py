"""Peers that keep to no rule: raw sockets, frames of any shape, and what a flood leaves behind in the server."""

import asyncio
import re
import resource
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from tests.client import Account, request
from tests.faults.load import until
from tests.running import Server

CLOSE: Final = 8
MEGABYTE: Final = 2**20


def handshake(account: Account) -> bytes:
    return (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n" % account.token.encode()
    )


def frame(opcode: int, payload: bytes, *, fin: bool = True, length: int | None = None) -> bytes:
    """As a client sends it, whose mask is nothing. `length` is what its head claims."""
    length = len(payload) if length is None else length
    first = (0x80 if fin else 0) | opcode
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + b"\0" * 4 + payload


def text(payload: bytes) -> bytes:
    return frame(1, payload)


class Peer(asyncio.Protocol):
    """A connection that keeps what it hears."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.over = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, _: Exception | None) -> None:
        self.over = True

    def say(self, data: bytes) -> None:
        if not self.over and not self.transport.is_closing():
            self.transport.write(data)

    @property
    def status(self) -> int | None:
        """Of the first answer of HTTP."""
        found = re.match(rb"HTTP/1.1 (\d+) ", self.heard)
        return int(found[1]) if found else None

    @property
    def is_greeted(self) -> bool:
        return b'"type":"hello"' in self.heard

    @property
    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What came after the handshake, as opcodes and payloads."""
        data = bytes(self.heard).partition(b"\r\n\r\n")[2]
        while len(data) >= 2:
            length, start = data[1], 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(data[2 : 2 + size]), 2 + size
            yield data[0] & 0x0F, data[start : start + length]
            data = data[start + length :]

    @property
    def code(self) -> int | None:
        """That the server closed it with."""
        codes = [int.from_bytes(payload[:2]) for opcode, payload in self.frames if opcode == CLOSE]
        return codes[0] if codes else None

    async def ends(self, within: float = 30) -> int | None:
        """The close code, once the connection is over."""
        await until(lambda: self.over, "the server to end a connection", within)
        return self.code


async def connect(server: Server, data: bytes = b"", *, source: str = "", buffer: int | None = None) -> Peer:
    """`source` is the address to come from; `buffer` is for a peer that reads nothing: bytes that its system takes in
    nevertheless.
    """
    peer = socket.socket()
    peer.bind((source, 0))
    if buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", server.port))
    _, protocol = await loop.create_connection(Peer, sock=peer)
    protocol.say(data)
    return protocol


def stranger() -> str | None:
    """An address of this machine beside its loopback's; None if it is in no network. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("198.51.100.1", 9))
        address: str = probe.getsockname()[0]
        return address
    return None


async def greeted(server: Server, account: Account) -> Peer:
    peer = await connect(server, handshake(account))
    await until(lambda: peer.is_greeted or peer.over, "a hello")
    return peer


def part(peers: list[Peer]) -> None:
    """Every other one without a word."""
    for number, peer in enumerate(peers):
        if number % 2:
            peer.transport.abort()
        else:
            peer.say(frame(CLOSE, struct.pack("!H", 1000)))
            peer.transport.close()


class Process:
    """What the server has taken up."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._folder = Path("/proc") / str(server.process.pid)

    @property
    def files(self) -> Counter[str]:
        """What it has open, by name; `socket` is every connection."""
        names: Counter[str] = Counter()
        for file in (self._folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                names[file.readlink().name.partition(":")[0]] += 1
        return names

    @property
    def resident(self) -> int:
        """Bytes of memory."""
        return int((self._folder / "statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def peak(self) -> int:
        found = re.search(r"^VmHWM:\s+(\d+) kB", (self._folder / "status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    @property
    def sockets(self) -> int:
        """Websockets, as it says itself."""
        found = re.search(r"^chat_sockets (\d+)", self._metrics(), re.MULTILINE)
        assert found
        return int(found[1])

    def _metrics(self) -> str:
        return request(self._server.address, "GET", "/metrics").body.decode()


class Growth:
    """Of the server's memory at its most, from the beginning of a flood to its end."""

    def __init__(self, server: Server) -> None:
        self._process = Process(server)
        self.bytes = 0

    def __enter__(self) -> Self:
        self._before = self._process.resident
        self._process.forget_peak()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = self._process.peak - self._before

    def __str__(self) -> str:
        return f"{self.bytes / MEGABYTE:+.1f} MiB at most"


def has_nothing_to_regret(server: Server) -> None:
    """No error in its log, and no trace of one."""
    assert "Traceback" not in server.log.read_text()
    assert [line for line in server.lines() if line["level"] in ("error", "critical")] == []


@contextmanager
def many_files() -> Iterator[int]:
    """As many as this process may open, and how many that are."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield before[1]
    finally:
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
