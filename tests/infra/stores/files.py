"""Stores in files, and what may be done to a file."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from chat.domain.errors import Unusable
from chat.infra.stores.sqlite import SqliteStore

# What SQLite says with that it uses a file: the name's end, and the byte that is locked.
PAGE: Final = 8_192  # bytes, of a new file
IN_USE: Final = {"": 0x40000002, "-shm": 128}

# Another process has to ask: one's own locks stand in nobody's way, and closing the file would let go of them.
ASKS: Final = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, int(sys.argv[3]), int(sys.argv[2]))
    except BlockingIOError:
        print("locked")
"""


@asynccontextmanager
async def opened(path: Path, form: int = 1, *, read_only: bool = False) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, read_only=read_only)
    await store.open("epoch", form)
    try:
        yield store
    finally:
        await store.close()


async def refusal(path: Path, form: int = 1, *, read_only: bool = False) -> str:
    """Why it cannot be opened. It is asked twice: nothing is left over from the first time."""
    for _ in range(2):
        with pytest.raises(Unusable) as refused:
            await SqliteStore(path, read_only=read_only).open("epoch", form)
    return str(refused.value)


def modes(directory: Path) -> dict[str, int]:
    """Of each file in it, who may do what."""
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content(path: Path) -> bytes:
    return path.read_bytes()


def spoil(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * length)


def is_locked(path: Path, at: int, length: int) -> bool:
    command = [sys.executable, "-c", ASKS, str(path), str(at), str(length)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout == "locked\n"


def in_use(path: Path) -> list[str]:
    """The names' ends of the files that nobody may take for their own."""
    return [end for end, at in IN_USE.items() if is_locked(Path(f"{path}{end}"), at, 1)]
