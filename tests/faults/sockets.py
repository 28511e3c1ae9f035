"""Connections as the kernel sees them: which of them a server still has, and clients' sockets made in a special way."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.faults.load import Client, Dial

TABLE: Final = Path("/proc/net/tcp")
seen_here: Final = pytest.mark.skipif(not TABLE.exists(), reason="the connections of a process are not to be seen here")


End = tuple[str, int]  # address and port


def local_end(client: Client) -> End:
    assert client.websocket
    address, port = client.websocket.local_address
    return address, port


def connected_ends(port: int) -> set[End]:
    """The peers of the server's side of every connection that is established or has bytes to deliver."""
    lines = TABLE.read_text().splitlines()[1:]
    ends = [(_end(line.split()[1]), _end(line.split()[2])) for line in lines if line.split()[9] != "0"]
    return {peer for own, peer in ends if own[1] == port}


def _end(written: str) -> End:
    address, _, port = written.partition(":")
    return socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder)), int(port, 16)


def small(address: str, received: int) -> Dial:
    """Sockets that buffer so many bytes of what comes in."""
    url = urlsplit(address)

    async def dial() -> socket.socket:
        made = socket.socket()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (url.hostname, url.port))
        except BaseException:
            made.close()
            raise
        return made

    return dial
