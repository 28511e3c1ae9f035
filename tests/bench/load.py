"""The load: programs in C, compiled when they are needed. Python would measure itself."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from chat.application.maintenance.texts import Texts
from tests.bench.machine import LOAD_CORE, on_core, resident

SOURCES: Final = Path(__file__).parent
TEXTS: Final = 10_000
PATIENCE: Final = 120.0  # seconds, beside those that are measured
LOOK: Final = 0.5  # seconds between two looks at the server's memory

Told = dict[str, Any]


class NoCompiler(Exception):
    """There is nothing to compile the load with."""


class Failed(Exception):
    """The load, or what it needs, gave up. Says why."""


def compile_load(folder: Path) -> Path:
    """The folder, with each program of this one in it. Raises `NoCompiler`."""
    for source in SOURCES.glob("*.c"):
        compile_program(source, folder)
    return folder


def compile_program(source: Path, folder: Path) -> Path:
    """Raises `NoCompiler`, and `Failed` with the compiler's words."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler("this needs a C compiler for its load: install one, as with `apt-get install gcc libc6-dev`")
    program = folder / source.stem
    done = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{source.name} cannot be compiled: {done.stderr.strip()}")
    return program


def write_texts(file: Path) -> Path:
    texts = Texts(Random(7))
    file.write_text("".join(f"{texts.text()}\n" for _ in range(TEXTS)))
    return file


class Load:
    """One of the programs with its arguments, for the servers that these processes are."""

    def __init__(self, program: Path, processes: tuple[int, ...], *words: object) -> None:
        self._command = [str(word) for word in (program, *words)]
        self._processes = processes

    def run(self, seconds: float) -> Told:
        """What it tells, and `resident`, the most memory that its servers had meanwhile. Raises `Failed`."""
        most, end = 0, time.monotonic() + seconds + PATIENCE
        with self._start() as process:
            while (said := _said_by(process)) is None:
                most = max(most, resident(self._processes))
                if time.monotonic() > end:
                    process.kill()
        return {**_told_by(process, *said), "resident": most}

    @contextmanager
    def held(self) -> Iterator[Told]:
        """Connected for as long as the `with` lasts. Raises `Failed`; `AssertionError` when somebody was sent away."""
        with self._start(stdin=subprocess.PIPE) as process:
            assert process.stdout
            if first := process.stdout.readline():
                yield json.loads(first)
            last, why = process.communicate()
        told = _told_by(process, last, why)
        assert not told["closed"], (told, why)

    def _start(self, stdin: int | None = None) -> "subprocess.Popen[str]":
        with on_core(LOAD_CORE):
            return subprocess.Popen(
                self._command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )


def _said_by(process: "subprocess.Popen[str]") -> tuple[str, str] | None:
    """Everything, once it has ended."""
    try:
        return process.communicate(timeout=LOOK)
    except subprocess.TimeoutExpired:
        return None


def _told_by(process: "subprocess.Popen[str]", said: str, why: str) -> Told:
    """Raises `Failed`."""
    if process.returncode:
        raise Failed(why.strip() or f"status {process.returncode}")
    told: Told = json.loads(said)
    return told
