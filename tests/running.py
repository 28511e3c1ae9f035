"""A real server for tests: `chat.py` in a process and a folder of its own, on a port that is free."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests import canaries

ROOT: Final = Path(__file__).parent.parent
WITHIN: Final = 20.0  # seconds that anything may take before a test gives up on it


class Server:
    """One `chat.py`, started again on the same folder and port as often as a test likes."""

    def __init__(self, folder: Path, *flags: str, database: str = "sqlite:chat.db", host: str = "127.0.0.1") -> None:
        self.folder = folder
        self.port = free_port(host)
        self.address = f"http://{host}:{self.port}"
        self.log = folder / "server.log"
        canaries.watch(self.log)
        self.script = ROOT / "chat.py"
        self.environment: dict[str, str] = {}  # beside what a clean one has
        self._flags = ("--host", host, "--port", str(self.port), "--database", database, "--log", "json", *flags)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process, "the server was not started"
        return self._process

    def start(self) -> None:
        """Wait until it listens; a server that was told to die may be gone by then."""
        written = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(self.script), *self._flags],
                cwd=self.folder,
                env=clean_environment() | self.environment,
                stderr=log,
                stdout=log,
            )

        def listened() -> bool:
            return b"listening" in self.log.read_bytes()[written:]

        wait_for(lambda: listened() or self.process.poll() is not None, "the server to listen")
        assert listened(), self.log.read_text()[written:]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: nothing of the process gets to run any more."""
        self.process.kill()
        self.process.wait(WITHIN)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(WITHIN)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


def altered(folder: Path, *lines: str) -> Path:
    """A `chat.py` before which these lines are run."""
    script = folder / "altered.py"
    first = ("import sys", f"sys.path.insert(0, {str(ROOT)!r})", "from runpy import run_path")
    last = f"run_path({str(ROOT / 'chat.py')!r}, run_name='__main__')"
    script.write_text("\n".join((*first, *lines, last)))
    return script


@contextmanager
def running(
    folder: Path,
    *flags: str,
    database: str = "sqlite:chat.db",
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    server = Server(folder, *flags, database=database, host=host)
    server.environment.update(environment or {})
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(holds: Any, what: str, within: float = WITHIN) -> None:
    """Wait until a condition holds, not for seconds."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {within} s for {what}")
        time.sleep(0.01)


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
