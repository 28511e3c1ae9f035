"""SQLite's locks on the file and its index last as long as the store is open, whatever happens meanwhile: to open and
close one of these files once more would let go of them, and the next process to come would take itself for the first.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from chat.domain.errors import Unavailable, Unusable
from chat.infra.stores.sqlite import SqliteStore
from chat.infra.stores.sqlite_session import Session
from tests.infra.stores.files import IN_USE, in_use, is_locked, opened
from tests.infra.stores.given import say

ROOT: Final = Path(__file__).resolve().parents[3]
OPENED: Final = 300  # times, by others beside a store that writes


def breaks(_: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def reconnects(store: SqliteStore, *sessions: Session) -> None:
    for session in sessions:
        connection = session._connection
        with pytest.raises(Unavailable, match="I/O"):
            await session.finish(breaks)
        assert session._connection is None
        await say(store, "hello")
        await store.find([])
        assert session._connection not in (None, connection)


async def writer_reconnects(store: SqliteStore) -> None:
    for _ in range(3):
        await reconnects(store, store._writer)


async def everybody_reconnects(store: SqliteStore) -> None:
    await reconnects(store, store._reader, store._writer, store._finder)


async def another_store_is_refused(store: SqliteStore) -> None:
    for _ in range(2):
        with pytest.raises(Unusable, match="in use"):
            await SqliteStore(store.path).open("epoch", 1)


async def another_store_reads(store: SqliteStore) -> None:
    async with opened(store.path, read_only=True) as reader:
        assert (await reader.read_info()).head == 1


async def is_copied(store: SqliteStore) -> None:
    for _ in range(2):
        await store.backup(f"{store.path}.copy", lambda done, total: None)


async def is_copied_onto_itself(store: SqliteStore) -> None:
    """By whatever name."""
    link, hard = store.path.with_name("link"), store.path.with_name("hard")
    for end in ("", "-wal", "-shm", "-lock"):
        mine = Path(f"{store.path}{end}")
        link.symlink_to(mine)
        hard.hardlink_to(mine)
        for target in (mine, link, hard):
            with pytest.raises(Unusable, match="belongs to it"):
                await store.backup(str(target), lambda done, total: None)
        link.unlink()
        hard.unlink()


@pytest.mark.parametrize(
    "happens",
    [
        writer_reconnects,
        everybody_reconnects,
        another_store_is_refused,
        another_store_reads,
        is_copied,
        is_copied_onto_itself,
    ],
)
async def test_the_locks_last(path: Path, happens: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        assert in_use(path) == list(IN_USE)
        await happens(store)
        assert in_use(path) == list(IN_USE)


async def test_sqlite_has_no_locks_on_the_write_ahead_log(path: Path) -> None:
    """So it may be opened and closed beside SQLite."""
    async with opened(path) as store:
        await say(store, "hello")
        await store.begin(1, [], [])
        assert not is_locked(Path(f"{path}-wal"), 0, 0)
        await store.abandon()


async def test_a_file_named_like_the_lock_of_its_copy_is_not_opened_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "x-lock") as store:
        await say(store, "hello")
        with pytest.raises(Unusable, match="belongs to it"):
            await store.backup(str(tmp_path / "x"), lambda done, total: None)
        assert in_use(tmp_path / "x-lock") == list(IN_USE)


WRITES: Final = """
import asyncio, sqlite3, sys
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.given import say
from tests.infra.stores.test_sqlite_locks import writer_reconnects

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open("epoch", 1)
    await writer_reconnects(store)
    print("reconnected", flush=True)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    while not ended.done():
        await say(store, "hello")
        assert (await store.load([])).position == (await store.begin(0, [], [])).info.head
        await store.abandon()
    print((await store.read_info()).head, flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_store_that_has_reconnected_outlives_those_who_come_and_go_beside_it(path: Path, mode: str) -> None:
    """One that lost its index would be killed, or go on in a file that is no longer there."""
    command = [sys.executable, "-c", WRITES, str(path)]
    heads = []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "reconnected\n"
        for _ in range(OPENED):
            with closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True)) as other:
                heads += [head for (head,) in other.execute("SELECT max(position) FROM log").fetchall()]
        told, _ = process.communicate("", timeout=30)
    assert process.returncode == 0
    assert heads == sorted(heads)
    assert heads[0] < heads[-1] <= int(told)
    with closing(sqlite3.connect(path)) as after:
        assert after.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert after.execute("SELECT count(*), max(position) FROM log").fetchall() == [(int(told),) * 2]
