"""What only the store in a file can do, and what may happen to a file."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Poisoned, Unavailable, Unusable
from chat.domain.log import AnswerRow, Erasure, Holding, ListedRow, LogRow, StateRow, Writes
from chat.infra.stores import sqlite_schema as schema
from chat.infra.stores import sqlite_statements as statements
from chat.infra.stores import sqlite_work as work
from chat.infra.stores.sqlite import SqliteStore
from chat.infra.stores.sqlite_statements import Batch
from tests.infra.stores.given import event, everything, say, sent, state, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


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
        names = ("journal_mode", "synchronous", "secure_delete", "wal_autocheckpoint")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    async with opened(path) as store:
        assert await store._writer.run(pragmas) == ["wal", 2, 1, 16_000]


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


# Files that are not what they should be.


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    diary = b"Dear diary, " * 1_000
    fill(path, diary)
    assert "is no database" in await refusal(path)
    assert "is no database" in await refusal(path, read_only=True)
    assert content(path) == diary


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    before = content(path)
    assert "another program" in await refusal(path)
    assert content(path) == before


def spoil(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * length)


@pytest.mark.parametrize(("at", "length"), [(0, 16), (16, 8), (0, 100), (100, 400)])
async def test_a_damaged_beginning_is_found(path: Path, at: int, length: int) -> None:
    async with opened(path) as store:
        await say(store, "hello")
    spoil(path, at, length)
    assert "damaged" in await refusal(path)


async def test_damage_further_in_makes_reading_unavailable_not_wrong(path: Path) -> None:
    async with opened(path) as store:
        await say(store, *["hello"] * 100)
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'states'"
        [[page]] = await store._finder.run(lambda connection: connection.execute(root).fetchall())
    spoil(path, (page - 1) * 4096, 4096)
    async with opened(path, read_only=True) as store:
        with pytest.raises(Unavailable, match="malformed"):
            await store.read_states("", 10)


async def test_a_file_of_a_newer_schema_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "newer version (schema 99" in await refusal(path)
    assert "newer version (schema 99" in await refusal(path, read_only=True)


async def test_a_log_of_a_newer_format_is_refused_to_readers_too(path: Path) -> None:
    async with opened(path, 7):
        pass
    assert "newer version (format 7, this one knows 3)" in await refusal(path, 3, read_only=True)


async def test_a_reader_leaves_the_format_as_it_is(path: Path) -> None:
    async with opened(path, 1):
        pass
    async with opened(path, 2, read_only=True) as store:
        assert (await store.read_info()).format == 1


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    where = tmp_path / "nowhere" / "chat.db"
    assert f"{where.parent} does not exist" in await refusal(where)
    assert not where.parent.exists()


async def test_a_reader_makes_no_file(path: Path) -> None:
    assert "does not exist" in await refusal(path, read_only=True)
    assert modes(path.parent) == {}


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "directory" in await refusal(tmp_path)


async def test_what_may_not_be_opened_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert await refusal(path) == f"{path} cannot be opened for writing: Permission denied."


async def test_a_library_without_what_is_needed_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert "too old: 3.37.0" in await refusal(path)


@pytest.mark.parametrize("name", ["with space.db", "100%.db", "what?.db", "größe#1.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path / name) as store:
        await say(store, "hello")
    assert modes(tmp_path).keys() == {name, f"{name}-lock"}


# Older files.

NEWER = "CREATE TABLE more (what TEXT) STRICT; UPDATE states SET format = 2;"


async def test_an_older_file_is_copied_and_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER))
    copied = path.with_name("chat.db.before-v2")
    assert "older version" in await refusal(path, read_only=True)
    async with opened(path) as store:
        assert (await store.read_states("", 9))[0].format == 2
        await say(store, "next")
    monkeypatch.undo()
    assert "newer version" in await refusal(path)
    assert modes(path.parent)[copied.name] == 0o600
    async with opened(copied) as store:
        assert await everything(store) == before
    assert not [name for name in modes(path.parent) if "part" in name]


async def test_a_new_file_needs_no_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER))
    async with opened(path) as store:
        await say(store, "hello")
    assert modes(path.parent).keys() == {"chat.db", "chat.db-lock"}


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER + "DROP TABLE absent;"))
    assert "no such table: absent" in await refusal(path)
    monkeypatch.undo()
    async with opened(path) as store:
        assert await everything(store) == before


# Trouble while it runs.


async def test_a_full_disk_makes_a_turn_unavailable_and_the_next_one_works_when_there_is_room(path: Path) -> None:
    def leave_no_room(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        await store._writer.run(leave_no_room)
        with pytest.raises(Unavailable, match="full"):
            await write(store, log=[sent(2)], states=[StateRow("room:r", 1, 1, b"x" * 100_000)])
        assert await everything(store) == before
        await asyncio.wait_for(say(store, "next"), 5)


class Failing(sqlite3.Connection):
    """A commit fails, once."""

    fails = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if self.fails and sql == "COMMIT":
            self.fails = False
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *values)


async def test_after_a_failed_fsync_nothing_is_acknowledged_on_that_connection(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=Failing))

    def fail(connection: sqlite3.Connection) -> int:
        assert isinstance(connection, Failing)
        connection.fails = True
        return id(connection)

    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        failed = store._writer._connection
        await store._writer.run(fail)
        with pytest.raises(Unavailable, match="I/O"):
            await write(store, log=[sent(2)])
        assert await everything(store) == before
        await asyncio.wait_for(say(store, "next"), 5)
        assert store._writer._connection is not failed


async def test_a_turn_that_fails_to_begin_gives_the_lock_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as store:
        monkeypatch.setattr(work, "read_info", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await store.begin(0, [], [])
        monkeypatch.undo()
        await asyncio.wait_for(say(store, "hello"), 5)


@pytest.mark.parametrize(
    "poison",
    [
        {"log": (LogRow(1, "room:r", 2**63, None, b""),)},
        {"log": (LogRow(1, "room:\ud800", 1, None, b""),)},
        {"log": (LogRow(1, "room:r", 1, None, "text"),)},  # type: ignore[arg-type]
        {"states": (StateRow("room:r", 1, 1, object()),)},  # type: ignore[arg-type]
        {"states": (StateRow(None, 1, 1, b""),)},  # type: ignore[arg-type]
    ],
)
async def test_what_sqlite_cannot_hold_is_poison(path: Path, poison: dict[str, Any]) -> None:
    async with opened(path) as store:
        before = await everything(store)
        await store.begin(0, [], [])
        with pytest.raises(Poisoned):
            await store.commit(Writes(answers=(AnswerRow("a", "1", b""),))._replace(**poison))
        assert await everything(store) == before
        assert (await store.begin(0, [("a", "1")], [])).answered == {}


async def test_a_cancelled_commit_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on, commit = threading.Event(), threading.Event(), work.commit

    def slow(connection: sqlite3.Connection, head: int, writes: Writes) -> None:
        started.set()
        assert go_on.wait(5)
        commit(connection, head, writes)

    monkeypatch.setattr(work, "commit", slow)
    async with opened(path) as store:
        await store.begin(0, [], [])
        task = asyncio.create_task(store.commit(Writes(log=(sent(1),))))
        await asyncio.to_thread(started.wait, 5)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.wait_for(store.begin(0, [], []), 5)).tail == (sent(1),)


async def test_reads_go_on_while_a_commit_is_under_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, go_on, put_listed = threading.Event(), threading.Event(), work.put_listed

    def slow(connection: sqlite3.Connection, listed: tuple[ListedRow, ...]) -> None:
        put_listed(connection, listed)
        written.set()
        assert go_on.wait(5)

    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        monkeypatch.setattr(work, "put_listed", slow)
        saying = asyncio.create_task(say(store, "next"))
        await asyncio.to_thread(written.wait, 5)
        assert await everything(store) == before
        assert (await store.load([])).position == 1
        go_on.set()
        await saying
        assert (await store.load([])).position == 2


async def test_all_that_one_read_finds_is_of_one_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, go_on, stored = threading.Event(), threading.Event(), work.stored

    def slow(connection: sqlite3.Connection, keys: list[str]) -> Any:
        counted.set()
        assert go_on.wait(5)
        return stored(connection, keys)

    async with opened(path) as store:
        await write(store, log=[event(1)])
        monkeypatch.setattr(work, "stored", slow)
        loading = asyncio.create_task(store.load(["room:r"]))
        await asyncio.to_thread(counted.wait, 5)
        monkeypatch.undo()
        await store.begin(1, [], [])
        await store.commit(Writes(log=(event(2),), states=(StateRow("room:r", 2, 1, b""),)))
        go_on.set()
        loaded = await loading
        assert loaded.position == 1
        assert loaded.states["room:r"] == (None, (event(1),))


async def test_a_search_does_not_hold_up_a_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, find = threading.Event(), work.find

    def slow(*args: Any) -> Any:
        assert go_on.wait(5)
        return find(*args)

    monkeypatch.setattr(work, "find", slow)
    async with opened(path) as store:
        searching = asyncio.create_task(store.find([Holding(words=("hello",))]))
        assert (await asyncio.wait_for(store.load([]), 2)).position == 0
        go_on.set()
        assert await searching == [[]]


async def test_a_store_closed_in_the_middle_of_a_turn_leaves_nothing_of_it(path: Path) -> None:
    store = SqliteStore(path)
    await store.open("epoch", 1)
    await store.begin(0, [], [])
    await store.close()
    with pytest.raises(Unavailable):
        await store.commit(Writes(log=(sent(1),)))
    async with opened(path) as again:
        assert (await again.read_info()).head == 0


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
    small = ("given", "log_info", "CONSTANT ROW", "VALUES CLAUSE", "subquery", "VIRTUAL TABLE INDEX")

    def plan(connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?")).fetchall()
        return [row[3] for row in rows]

    async with opened(path) as store:
        session = store._finder if "vocabulary" in sql else store._writer
        steps = await session.run(plan)
    assert [step for step in steps if step.startswith("SCAN") and not any(it in step for it in small)] == []
    assert name not in {"RANGE", "RANGE_NEWEST", "LOG", "STREAM", "LISTED"} or "TEMP B-TREE" not in str(steps)
