"""A network namespace: another machine, as far as the network is concerned, at the end of a cable that can be pulled.

A pulled cable says nothing to anybody. Takes root; what is made is removed in any case.
"""

import asyncio
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET
DIALLED_WITHIN: Final = 5.0  # seconds


class Namespace:
    """`here` is this machine's address on the cable, `there` that of the other end."""

    def __init__(self) -> None:
        number = os.getpid()
        self.name = f"chat{number}"
        network = f"198.18.{number % 256}"  # of those that are for tests of networks
        self.here, self.there = f"{network}.1", f"{network}.2"
        # Its one thread is in there for good, and so are the sockets that it makes, whoever uses them.
        self._inside = ThreadPoolExecutor(1, initializer=self._enter)

    def lay(self) -> None:
        self._clear()  # what one that was killed has left
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "cable", "netns", self.name)
        ip("address", "add", f"{self.here}/30", "dev", self.name)
        ip("link", "set", self.name, "up")
        ip("-n", self.name, "address", "add", f"{self.there}/30", "dev", "cable")
        self.mend()

    def remove(self) -> None:
        self._inside.shutdown()
        self._clear()

    def _clear(self) -> None:
        subprocess.run(["ip", "link", "delete", self.name], capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)

    def pull(self) -> None:
        ip("-n", self.name, "link", "set", "cable", "down")

    def mend(self) -> None:
        ip("-n", self.name, "link", "set", "cable", "up")

    async def connect(self, port: int) -> socket.socket:
        """From there to here."""
        dial = socket.create_connection
        return await asyncio.get_running_loop().run_in_executor(self._inside, dial, (self.here, port), DIALLED_WITHIN)

    def _enter(self) -> None:
        with Path(f"/run/netns/{self.name}").open() as handle:
            system = ctypes.CDLL(None, use_errno=True)
            if system.setns(handle.fileno(), NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


@contextmanager
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    try:
        made.lay()
        yield made
    finally:
        made.remove()
