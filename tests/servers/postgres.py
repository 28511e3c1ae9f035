"""A private PostgreSQL on a free port, in a folder of its own; its superuser is `chat`, with a password.

    with Postgres(fsync=True) as server:
        url = server.new_database()

It refuses to run as root: then it runs as somebody else.
"""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from tests.running import free_port

PASSWORD: Final = "pass:word/@1"  # to be quoted in a URL
QUOTED: Final = "pass%3Aword%2F%401"
PATIENCE: Final = 30  # seconds
STOPS: Final = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT, "smart": signal.SIGTERM}


class Postgres:
    """Made at once, running from `start` to `stop`, as often as wanted."""

    def __init__(self, *, fsync: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chat-postgres-"))
        self.port = free_port()
        self._as = _somebody_else()
        self._fsync = fsync
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._make()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if user := self._as.get("user"):
            for path in (self.folder, password):
                shutil.chown(path, user)
        options = ["--username=chat", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        command = ["initdb", "-D", str(self.data), "--encoding=UTF8", "--locale=C", *options]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, **self._as)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    # Running.

    def start(self, **settings: str) -> None:
        """With these settings, by their names."""
        ours = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self._fsync else "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        options = [word for name, value in {**ours, **settings}.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["postgres", "-D", self.data, *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            assert self._process
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def stop(self, mode: str = "immediate") -> None:
        """`immediate`, `fast` or `smart`, as pg_ctl has it."""
        if self._process:
            self.resume()
            self._process.send_signal(STOPS[mode])
            self._process.wait(PATIENCE)
            self._process = None

    def pause(self) -> None:
        """Every process of it stands still: connections are made by the system, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """The parent first: then no more come."""
        assert self._process
        self._process.send_signal(number)
        for pid in children(self._process.pid):
            with suppress(ProcessLookupError):  # it has just gone
                os.kill(pid, number)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    # Databases.

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://chat:{QUOTED}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self, options: str = "") -> str:
        """Its URL."""
        name = f"chat_{next(self._names)}"
        self.run(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def run(self, sql: str, database: str = "postgres") -> str:
        """What the superuser is told, row by row."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "chat", "-d", database]
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, "-c", sql],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout.strip()


@cache
def shared() -> Postgres:
    """For all tests of a run that do it no harm. It forgets what it has when the machine does."""
    server = Postgres(fsync=False)
    atexit.register(server.remove)
    server.start()
    return server


def children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in found.split()]


def _somebody_else() -> dict[str, Any]:
    if os.getuid():
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_name, "group": user.pw_gid, "extra_groups": []}
