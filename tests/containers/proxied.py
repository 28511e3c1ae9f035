"""Debian's nginx with the configuration that is shipped, in front of nodes on ports of this machine.

What differs from the shipped one is what the files beside it are for: where it listens, and where the nodes are.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests import canaries
from tests.client import request
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
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        canaries.watch(self.log)
        shutil.copy(SHIPPED / "nginx.conf", folder)
        (folder / "listen.conf").write_text(f"listen 127.0.0.1:{self.port};\n")
        (folder / "nodes.conf").write_text(self._nodes(ports))
        (folder / "front.conf").write_text("".join(f"set_real_ip_from {each};\n" for each in front))

    @staticmethod
    def _nodes(ports: Sequence[int]) -> str:
        """The shipped lines, with other addresses."""
        lines = (SHIPPED / "nodes.conf").read_text().splitlines()
        assert len(lines) == 2, lines
        options = {line.split(maxsplit=2)[2] for line in lines}
        assert len(options) == 1, lines
        return "".join(f"server 127.0.0.1:{port} {options.copy().pop()}\n" for port in ports)

    def start(self) -> None:
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                ["nginx", "-p", f"{self._folder}/", "-c", self._folder / "nginx.conf", "-g", "daemon off;"],
                stdout=log,
                stderr=errors,
            )
        wait_for(lambda: self._answers() or self._process and self._process.poll() is not None, "nginx to listen")
        assert self._process.poll() is None, self.errors.read_text()

    def _answers(self) -> bool:
        try:
            return request(self.address, "GET", "/metrics").status == 404
        except OSError:
            return False

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(WITHIN)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged of requests."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def proxied(folder: Path, ports: Sequence[int], front: Sequence[str] = ()) -> Iterator[Proxy]:
    proxy = Proxy(folder, ports, front)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()
