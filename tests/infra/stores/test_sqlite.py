"""What only the store in a file can do."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Unavailable
from chat.domain.log import AnswerRow, Erasure, ListedRow, LogRow
from chat.infra.stores import sqlite_statements as statements
from chat.infra.stores.sqlite import SqliteStore
from chat.infra.stores.sqlite_statements import Batch
from tests.infra.stores.files import content, modes, opened, refusal
from tests.infra.stores.given import event, everything, say, sent, state, write

ROOT = Path(__file__).resolve().parents[3]


# Lasting.


async def test_what_was_committed_is_there_in_the_next_process(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello", "again")
        await write(store, answers=[AnswerRow("a", "1", b"first")], listed=[ListedRow("rooms", "r", "label")])
        before = await everything(store)
    async with opened(path) as store:
        assert await everything(store) == before
        assert (await store.begin(0, [("a", "1")], [])).answered == {("a", "1"): b"first"}


SAYS_AND_HANGS = """
import asyncio, sys
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.files import content, modes, opened, refusal
from tests.infra.stores.given import say

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open("epoch", 1)
    await say(store, "hello")
    await store.begin(1, [], [])
    print("said", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """It has committed one message and is in the middle of a turn."""
    command = [sys.executable, "-c", SAYS_AND_HANGS, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "said\n"
            yield process
        finally:
            process.kill()


async def test_what_a_killed_process_committed_is_there_and_its_open_turn_is_not(path: Path) -> None:
    with another_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        async with opened(path) as store:
            assert await store.read_log(0, 10) == [sent(1)]
            await say(store, "next")


async def test_a_closed_store_leaves_one_file_and_its_lock(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        open_files = modes(path.parent)
    assert open_files == dict.fromkeys(("chat.db", "chat.db-lock", "chat.db-wal", "chat.db-shm"), 0o600)
    assert modes(path.parent).keys() == {"chat.db", "chat.db-lock"}


async def test_the_writer_is_durable_and_leaves_nothing_of_what_it_deletes(path: Path) -> None:
    def pragmas(connection: sqlite3.Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "secure_delete", "page_size", "wal_autocheckpoint")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    async with opened(path) as store:
        assert await store._writer.run(pragmas) == ["wal", 2, 1, 8_192, 8_000]


async def test_an_erased_event_is_no_longer_in_the_file(path: Path) -> None:
    async with opened(path) as store:
        await write(store, log=[LogRow(1, "room:r", 1, "message:r:1", b"a secret of some length" * 9)])
        await write(store, erasures=[Erasure(1, b"gone")])
    assert b"secret" not in content(path)


async def test_the_version_of_the_library_is_told(path: Path) -> None:
    assert SqliteStore(path).version == sqlite3.sqlite_version


# One process.


async def test_a_second_process_is_refused_and_told_which_one_to_stop(path: Path) -> None:
    with another_process(path) as process:
        assert f"in use by another process (pid {process.pid}): stop it" in await refusal(path)
    async with opened(path) as store:
        assert (await store.read_info()).head == 1


async def test_a_second_store_in_one_process_is_refused_too(path: Path) -> None:
    async with opened(path) as store:
        assert "in use" in await refusal(path)
        await say(store, "hello")


async def test_a_file_is_read_beside_the_process_that_writes_it(path: Path) -> None:
    with another_process(path):
        async with opened(path, read_only=True) as store:
            assert await store.read_log(0, 10) == [sent(1)]
            assert await store.read_words(("", 0), 1) == [("hello", 1)]


async def test_a_reader_sees_what_is_committed_after_it_came(path: Path) -> None:
    async with opened(path) as store, opened(path, read_only=True) as reader:
        await say(store, "hello")
        assert await everything(reader) == await everything(store)
        await store.start_rebuild()
        await store.finish_rebuild()
        assert await everything(reader) == await everything(store)


async def test_a_reader_needs_nobody_who_writes_and_changes_nothing(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
    before = content(path)
    async with opened(path, read_only=True) as reader:
        assert (await reader.read_info()).head == 1
    assert content(path) == before


async def test_a_reader_begins_no_turn(path: Path) -> None:
    async with opened(path), opened(path, read_only=True) as reader:
        with pytest.raises(Unavailable, match="reading only"):
            await reader.begin(0, [], [])
        with pytest.raises(Unavailable, match="reading only"):
            await reader.write_epoch("another")


async def test_a_connection_that_reads_cannot_write(path: Path) -> None:
    async with opened(path) as store:
        for session in (store._reader, store._finder):
            with pytest.raises(Unavailable, match="readonly"):
                await session.run(lambda connection: connection.execute("DELETE FROM log"))


# Statements.


@pytest.mark.parametrize("count", [0, 1, 2, 8, 9, 64, 65, 512, 513, 1_100])
async def test_any_number_of_rows_goes_in_and_comes_out(path: Path, count: int) -> None:
    rows = [state(seq) for seq in range(1, count + 1)]
    async with opened(path) as store:
        await write(store, log=[event(seq) for seq in range(1, count + 1)], states=rows)
        assert await store.read_states("", 10_000) == rows
        assert len(await store.read_log(0, 10_000)) == count


def said() -> Iterator[tuple[str, str]]:
    for name, value in vars(statements).items():
        if name.isupper() and isinstance(value, str | Batch):
            yield name, statements.statement(value, 8) if isinstance(value, Batch) else value


@pytest.mark.parametrize("name", [name for name, _ in said()])
async def test_every_statement_goes_by_an_index(path: Path, name: str) -> None:
    sql = dict(said())[name]
    small = ("given", "log_info", "published", "CONSTANT ROW", "VALUES CLAUSE", "subquery", "VIRTUAL TABLE INDEX")

    def plan(connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?")).fetchall()
        return [row[3] for row in rows]

    async with opened(path) as store:
        session = store._finder if "vocabulary" in sql else store._writer
        steps = await session.run(plan)
    assert [step for step in steps if step.startswith("SCAN") and not any(it in step for it in small)] == []
    assert name not in {"RANGE", "RANGE_NEWEST", "LOG", "STREAM", "LISTED"} or "TEMP B-TREE" not in str(steps)
