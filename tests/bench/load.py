"""The load: `wsload.c`, compiled when it is needed. Python would measure itself."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from chat.application.maintenance.texts import Texts
from tests.running import Server

SOURCE: Final = Path(__file__).with_name("wsload.c")
TEXTS: Final = 10_000
PATIENCE: Final = 120.0  # seconds, beside those that are measured


class NoCompiler(Exception):
    """There is nothing to compile the load with."""


def compile_load(folder: Path) -> Path:
    """Raises `NoCompiler`."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler("this needs a C compiler for its load: install one, as with `apt-get install gcc libc6-dev`")
    program = folder / "wsload"
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
    return program


def write_texts(file: Path) -> None:
    texts = Texts(Random(7))
    file.write_text("".join(f"{texts.text()}\n" for _ in range(TEXTS)))


class Load:
    """Sockets at one or several nodes, each of an account of its own, all of one room."""

    def __init__(self, program: Path, folder: Path, nodes: Sequence[Server], room: str) -> None:
        self._texts = folder / "texts"
        write_texts(self._texts)
        ports = ",".join(str(node.port) for node in nodes)
        processes = ",".join(str(node.process.pid) for node in nodes)
        self._command: list[str | Path] = [program, ports, processes, folder / "tokens", self._texts, room]

    def talk(self, sockets: int, senders: int, window: int, seconds: float, warm: float) -> dict[str, Any]:
        """What was sent, acknowledged and heard, and how fast. Raises `CalledProcessError`."""
        shape = [str(number) for number in (sockets, senders, window, warm, seconds)]
        done = subprocess.run(
            [*self._command, *shape], check=True, stdout=subprocess.PIPE, timeout=warm + seconds + PATIENCE
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    @contextmanager
    def idle(self, sockets: int) -> Iterator[dict[str, Any]]:
        """Connected for as long as the `with` lasts."""
        shape = [str(sockets), "0", "1", "0", "0"]
        with subprocess.Popen([*self._command, *shape], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdin
            try:
                yield json.loads(process.stdout.readline())
            finally:
                process.stdin.close()
