"""Debian's nginx with the configuration that is shipped, in front of nodes on ports of this machine.

What differs from the shipped one is what the files beside it are for: where it listens, and where the nodes are.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests import canaries
from tests.running import ROOT, WITHIN, free_port, wait_for

SHIPPED: Final = ROOT / ".deploy"


class Proxy:
    """`front` are the addresses of proxies in front of this one."""

    def __init__(self, folder: Path, ports: Sequence[int], front: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder / "access.log"
        self.errors = folder / "errors.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes]
        folder.mkdir(parents=True)
        canaries.watch(self.log)
        shutil.copy(SHIPPED / "nginx.conf", folder)
        (folder / "listen.conf").write_text(f"listen 127.0.0.1:{self.port};\n")
        (folder / "nodes.conf").write_text(self._nodes(ports))
        (folder / "front.conf").write_text("".join(f"set_real_ip_from {each};\n" for each in front))

    @staticmethod
    def _nodes(ports: Sequence[int]) -> str:
        """The shipped lines, with other addresses."""
        shipped = (SHIPPED / "nodes.conf").read_text().splitlines()
        [options] = {line.split(maxsplit=2)[2] for line in shipped if line.startswith("server ")}
        return "".join(f"server 127.0.0.1:{port} {options}\n" for port in ports)

    def start(self) -> None:
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            process = self._process = subprocess.Popen(
                ["nginx", "-p", f"{self._folder}/", "-c", self._folder / "nginx.conf", "-g", "daemon off;"],
                stdout=log,
                stderr=errors,
            )
        wait_for(lambda: self._answers() or process.poll() is not None, "nginx to listen")
        assert process.poll() is None, self.errors.read_text()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WITHIN)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged of requests."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def proxied(folder: Path, ports: Sequence[int], front: Sequence[str] = ()) -> Iterator[Proxy]:
    proxy = Proxy(folder, ports, front)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
