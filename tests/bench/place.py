"""Where a workload takes place: a folder, a database seeded in it, a server on one core and the load on the other."""

import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.bench.load import Load
from tests.running import ROOT, Server, clean_environment

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
KEPT_ALIVE: Final = 2.0  # seconds that a connection may rest; the server gives it 5


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here stays on this core, where there are several and the system can do that."""
    if not hasattr(os, "sched_setaffinity") or core not in (usual := os.sched_getaffinity(0)) or len(usual) < 2:
        yield
        return
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def raise_file_limit() -> None:
    """As many open sockets as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Place:
    """A seeded folder. `flags` are those of `chat.py seed`."""

    def __init__(self, folder: Path, program: Path, **flags: int) -> None:
        self.folder = folder
        self._program = program
        self.seconds_to_start = 0.0
        self.seconds_to_seed = self._seed(flags)
        self.tokens = (folder / "tokens").read_text().splitlines()
        self.server = Server(folder, "--rate", "0", "--sockets", "100000")

    def _seed(self, flags: dict[str, int]) -> float:
        wanted = [f"--{name}={value}" for name, value in flags.items()]
        began = time.monotonic()
        subprocess.run(
            [sys.executable, ROOT / "chat.py", "seed", "--database=sqlite:chat.db", "--tokens=tokens", *wanted],
            cwd=self.folder,
            env=clean_environment(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.monotonic() - began

    @contextmanager
    def serving(self) -> Iterator["Asker"]:
        """Raises `AssertionError` when the server does not end well."""
        began = time.monotonic()
        with on_core(SERVER_CORE):
            self.server.start()
        try:
            with closing(Asker(self.server.port, self.tokens[0])) as asker, on_core(LOAD_CORE):
                asker.ready()
                self.seconds_to_start = time.monotonic() - began
                yield asker
            assert self.server.stop() == 0, "the server did not end well"
        finally:
            if self.server.process.poll() is None:
                self.server.kill()

    def load(self, room: str) -> Load:
        return Load(self._program, self.folder, [self.server], room)

    def resident(self) -> int:
        """Bytes of the server's memory that are in use."""
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("this system does not tell what a process uses")


class Asker:
    """Questions by HTTP over one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._asked = time.monotonic()

    def ask(self, query: str, **fields: Any) -> Any:
        return json.loads(self._get(f"/api/{query}?{urlencode(fields)}"))

    def ready(self) -> None:
        self._get("/readyz")

    def close(self) -> None:
        self._connection.close()

    def _get(self, path: str) -> bytes:
        if time.monotonic() - self._asked > KEPT_ALIVE:
            self._connection.close()  # it opens itself again
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, (path, response.status, body)
        self._asked = time.monotonic()
        return body

    def room(self, at: int = 0) -> str:
        """The id of the room in which most is said."""
        rooms = sorted(self.ask("list_rooms")["rooms"], key=lambda room: -room["seq"])
        return str(rooms[at]["id"])
