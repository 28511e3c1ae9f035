"""What the contestants stand on: programs, databases and installed peers, each made once, when it is first asked for.

A contestant's turn starts everything of its own afresh, on a fresh copy of what was seeded, and ends it: nothing of the
others runs meanwhile, and no log has grown from an earlier turn.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, Self

from tests.bench.load import Failed, Load, compile_load, write_texts
from tests.bench.machine import Missing, need
from tests.running import ROOT, clean_environment
from tests.servers.postgres import Postgres

# The log is numbered without a gap: so many rows of it are lost.
LOST: Final = "SELECT max(position) - count(*) FROM log"


class Seed(NamedTuple):
    """The numbers that `chat.py seed` takes."""

    accounts: int
    rooms: int = 1
    members: int = 10_000
    messages: int = 0

    def flags(self) -> dict[str, int]:
        return {**self._asdict(), "members": min(self.members, self.accounts)}


class Pace(NamedTuple):
    """How long, and how much of it."""

    seconds: float = 6.0
    warm: float = 2.0
    share: int = 1  # one of so many sockets, rooms and messages

    def of(self, number: int, least: int = 1) -> int:
        return max(least, number // self.share)


class Running(NamedTuple):
    """A contestant that serves. Its processes are all that work for it, its database and broker too."""

    ports: tuple[int, ...]
    processes: tuple[int, ...]
    tokens: Path
    seconds_to_start: float = 0.0


class Ground:
    """`folder` is for the time of one benchmark, `cache` for what is installed."""

    def __init__(self, folder: Path, cache: Path, pace: Pace) -> None:
        self.folder = folder
        self.cache = cache
        self.pace = pace
        self._seeded: dict[Seed, Path] = {}
        self._templates: dict[Seed, str] = {}
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A folder for one turn."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)

    # The load.

    @cached_property
    def programs(self) -> Path:
        """Raises `NoCompiler`."""
        return compile_load(self._made("programs"))

    @cached_property
    def texts(self) -> Path:
        return write_texts(self.folder / "texts")

    def load(self, command: Sequence[str], running: Running, *words: object, texts: Path | None = None) -> Load:
        """A program, and what it is told before and after the place that it is for."""
        ports, processes = (",".join(map(str, numbers)) for numbers in (running.ports, running.processes))
        place = (ports, processes, running.tokens, texts or self.texts)
        program, *first = command
        return Load(self.programs / program, running.processes, *first, *place, *words)

    # What was seeded.

    def seeded(self, seed: Seed) -> Path:
        """A folder with `chat.db` and `tokens`."""
        if seed not in self._seeded:
            folder = self._made("seed")
            flags = [f"--{name}={value}" for name, value in seed.flags().items()]
            chat(folder, "seed", "--database=sqlite:chat.db", "--tokens=tokens", *flags)
            self._seeded[seed] = folder
        return self._seeded[seed]

    @contextmanager
    def on_postgres(self, seed: Seed) -> Iterator[tuple[str, int]]:
        """The URL of a database with what was seeded, and the server's process. Raises `Missing`, and `AssertionError`
        when its log is not whole at the end.
        """
        server = self._postgres
        server.start()
        try:
            database = server.new_database(f"TEMPLATE {self._template(server, seed)}")
            os.sync()
            yield database, int((server.data / "postmaster.pid").read_text().split()[0])
            lost = server.run(LOST, name_of(database))
            assert lost == "0", f"rows lost from the log: {lost}"
            server.run(f"DROP DATABASE {name_of(database)} WITH (FORCE)")
        finally:
            server.stop("fast")

    def _template(self, server: Postgres, seed: Seed) -> str:
        if seed not in self._templates:
            database = server.new_database()
            chat(self.seeded(seed), "copy", "--from=sqlite:chat.db", f"--to={database}")
            self._templates[seed] = name_of(database)
        return self._templates[seed]

    @cached_property
    def _postgres(self) -> Postgres:
        need("initdb", "postgres", "psql")
        if not find_spec("asyncpg"):
            raise Missing("asyncpg is not installed: pip install '.[postgres]'")
        server = Postgres()
        self._ending.callback(server.remove)
        return server

    def _made(self, name: str) -> Path:
        """A new folder, also when this is the second attempt."""
        return Path(tempfile.mkdtemp(prefix=name, dir=self.folder))


def chat(folder: Path, command: str, *words: str) -> None:
    """A command of the project's, in this folder. Raises `Failed`."""
    done = subprocess.run(
        [sys.executable, ROOT / "chat.py", command, *words],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"`{command}` does not work: {done.stderr.strip() or done.stdout.strip()}")


def name_of(database: str) -> str:
    return database.rpartition("/")[2]


def copy_of(seeded: Path, folder: Path) -> Path:
    """On the disk: nobody is to wait for that later."""
    copied = shutil.copyfile(seeded / "chat.db", folder / "chat.db")
    os.sync()
    return copied
