"""Stores in files, and what may be done to a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chat.domain.errors import Unusable
from chat.infra.stores.sqlite import SqliteStore


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
