"""What may happen to a store in a file while it is open."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Poisoned, Unavailable
from chat.domain.log import AnswerRow, Holding, ListedRow, LogRow, StateRow, Writes
from chat.infra.stores import sqlite_schema as schema
from chat.infra.stores import sqlite_session
from chat.infra.stores import sqlite_work as work
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.files import PAGE, content, opened, spoil
from tests.infra.stores.given import event, everything, key, say, sent, write


def pages(most: int) -> Callable[[sqlite3.Connection], None]:
    def bound(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {most}")

    return bound


async def test_a_full_disk_makes_a_turn_unavailable_and_the_next_one_works_when_there_is_room(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        connection = store._writer._connection
        await store._writer.run(pages(1))
        for _ in range(2):
            with pytest.raises(Unavailable, match="full"):
                await write(store, log=[sent(2)], states=[StateRow("room:r", 1, 1, b"x" * 100_000)])
        assert await everything(store) == before
        await store._writer.run(pages(1_000_000))
        await asyncio.wait_for(say(store, "next"), 5)
        assert store._writer._connection is connection


async def test_a_file_that_another_program_has_locked_makes_a_turn_unavailable_and_not_reading(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                await store.begin(1, [], [])
            assert await everything(store) == before
        await asyncio.wait_for(say(store, "next"), 5)


async def test_a_file_that_has_become_something_else_is_unavailable_and_what_is_open_stays(path: Path) -> None:
    """Once it runs, nobody is told what to do with a flag."""

    def breaks(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def version(number: int) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")

    async with opened(path) as store:
        await say(store, "hello")
        version(99)
        for session in (store._writer, store._reader):
            with pytest.raises(Unavailable, match="I/O"):
                await session.run(breaks)
        with pytest.raises(Unavailable, match="newer version"):
            await store.begin(0, [], [])
        with pytest.raises(Unavailable, match="newer version"):
            await store.read_info()
        version(len(schema.MIGRATIONS))
        await say(store, "next")


async def test_more_reads_than_may_wait_are_unavailable_and_turns_are_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, find = threading.Event(), work.find

    def slow(*args: Any) -> Any:
        assert go_on.wait(5)
        return find(*args)

    monkeypatch.setattr(sqlite_session, "WAITING", 10)
    monkeypatch.setattr(work, "find", slow)
    async with opened(path) as store:
        reads = [asyncio.create_task(store.find([Holding(words=("hello",))])) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too much is waiting"):
            await store.find([Holding(words=("hello",))])
        await say(store, "hello")
        assert (await store.load([])).position == 1
        go_on.set()
        assert len(await asyncio.gather(*reads)) == 10
        assert len(await store.find([Holding(words=("hello",))])) == 1


async def test_reads_that_were_given_up_no_longer_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, find = threading.Event(), work.find

    def slow(*args: Any) -> Any:
        assert go_on.wait(5)
        return find(*args)

    monkeypatch.setattr(sqlite_session, "WAITING", 10)
    monkeypatch.setattr(work, "find", slow)
    async with opened(path) as store:
        for _ in range(5):
            reads = [asyncio.create_task(store.find([])) for _ in range(10)]
            await asyncio.sleep(0)
            for read in reads:
                read.cancel()
            assert all(isinstance(each, asyncio.CancelledError) for each in await gathered(reads))
        go_on.set()
        assert await store.find([]) == []


async def gathered(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_damage_is_met_by_those_who_read_it_and_by_nobody_else(path: Path) -> None:
    async with opened(path) as store:
        await say(store, *["hello"] * 100)
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'states'"
        [[page]] = await store._finder.run(lambda connection: connection.execute(root).fetchall())
    spoil(path, (page - 1) * PAGE, PAGE)
    async with opened(path) as store:
        for _ in range(2):
            with pytest.raises(Unavailable, match="malformed"):
                await store.load([key(1)])
            assert len(await store.read_log(0, 200)) == 100
        await write(store, log=[event(101)])


async def test_text_that_is_damaged_is_unavailable_not_wrong(path: Path) -> None:
    """SQLite has no checksums: it hands out what is there."""
    async with opened(path) as store:
        await write(store, log=[event(1, room="some-room-of-a-length")])
    at = content(path).index(b"room:some-room-of-a-length")
    spoil(path, at, 8)
    async with opened(path) as store:
        with pytest.raises(Unavailable):
            await store.read_log(0, 10)


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


async def test_a_store_is_closed_in_the_middle_of_the_longest_read(path: Path) -> None:
    long = """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 300000000)
        SELECT max(n) FROM numbers"""
    begun = threading.Event()

    def read(connection: sqlite3.Connection) -> Any:
        begun.set()
        return connection.execute(long).fetchall()

    store = SqliteStore(path)
    await store.open("epoch", 1)
    reading = asyncio.create_task(store._finder.run(read))
    await asyncio.to_thread(begun.wait, 5)
    await store.close()
    with pytest.raises(Unavailable, match="interrupted"):
        await reading
