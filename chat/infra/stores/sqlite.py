"""The store that one machine needs: one file, one process, one writer.

One connection writes and alone checkpoints, on a thread of its own: before 3.51.3 SQLite could damage a file in which
two did. Three more only read, each on its thread, each time from one moment of the file: one for states, one for pages
and lists, one for searches, so that no search, however long, holds up a page, and no page a load. A commit is on the
disk (synchronous=FULL) before it returns.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event

from chat.domain.errors import StoreError, Unavailable, Unusable
from chat.domain.log import (
    AnswerRow,
    Begun,
    Found,
    Holding,
    ListedRow,
    Loaded,
    LogInfo,
    LogRow,
    Rows,
    StateRow,
    WordsRow,
    Writes,
)
from chat.infra.stores import sqlite_copy, sqlite_file
from chat.infra.stores import sqlite_maintenance as maintenance
from chat.infra.stores import sqlite_schema as schema
from chat.infra.stores import sqlite_work as work
from chat.infra.stores.sqlite_session import Session


class SqliteStore:
    """Satisfies `chat.application.ports.Store`. With `read_only` it takes no lock, begins no turn, and can stand
    beside a process that writes. Without `create` the file has to be there."""

    version = sqlite3.sqlite_version

    def __init__(self, path: str | Path, *, read_only: bool = False, create: bool = True) -> None:
        self.path = sqlite_file.real(Path(path))
        self.read_only = read_only
        self.create = create and not read_only
        self._claim: sqlite_file.Claim | None = None
        self._turn = asyncio.Lock()
        self._holds = False  # the lock, for a turn that began at
        self._head = 0
        self._rebuilding = False
        self._writer = Session("sqlite-writer", partial(schema.connect_writer, self.path))
        self._reader = Session("sqlite-reader", partial(schema.connect_reader, self.path))
        self._searcher = Session("sqlite-searcher", partial(schema.connect_reader, self.path))
        self._finder = Session("sqlite-finder", partial(schema.connect_reader, self.path))

    async def open(self, epoch: str, form: int) -> LogInfo:
        schema.check_library()
        sqlite_file.check(self.path, create=self.create)
        try:
            return await (self._open_to_read(form) if self.read_only else self._open_to_write(epoch, form))
        except BaseException as error:
            await self.close()
            if isinstance(error, StoreError) and not isinstance(error, Unusable):
                raise Unusable(sqlite_file.sentence(self.path, error.__cause__)) from error
            raise

    async def _open_to_read(self, form: int) -> LogInfo:
        self._open_readers()
        await self._reader.run(schema.check_format, self.path, form)
        return await self.read_info()

    async def _open_to_write(self, epoch: str, form: int) -> LogInfo:
        self._claim = sqlite_file.Claim(self.path)
        schema.check_wal(self.path)
        self._writer.open()
        await self._writer.finish(schema.prepare, self.path, epoch, form)
        await self.probe()
        self._open_readers()
        return await self.read_info()

    def _open_readers(self) -> None:
        self._reader.open()
        self._finder.open()
        self._searcher.open()

    async def close(self) -> None:
        """The writer last, which leaves one file: what is in the write-ahead log goes to its place. A rebuild that was
        not finished, whatever the reason, leaves nothing. Reads are not waited for.
        """
        async with AsyncExitStack() as backwards:
            backwards.callback(self._release)
            backwards.push_async_callback(self._writer.close)
            for session in (self._searcher, self._finder, self._reader):
                backwards.push_async_callback(session.close, at_once=True)
            if self._rebuilding:
                backwards.push_async_callback(self._drop_rebuild)

    def _release(self) -> None:
        self._let_go()
        if self._claim:
            self._claim.release()
            self._claim = None

    # A turn.

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        await self._turn.acquire()
        self._holds = True
        try:
            begun = await self._writer.finish(work.begin, after, asked, keys)
        except BaseException:
            await self.abandon()
            raise
        self._head = begun.info.head
        return begun

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        return await self._writer.finish(work.within_turn, work.load, keys)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        return await self._writer.finish(work.within_turn, work.read_about, names)

    async def commit(self, writes: Writes) -> None:
        try:
            await self._writer.finish(work.within_turn, work.commit, self._head, writes)
        finally:
            self._let_go()

    async def abandon(self) -> None:
        if not self._holds:
            return
        try:
            await self._writer.roll_back()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._holds:
            self._holds = False
            self._turn.release()

    async def probe(self) -> None:
        async with self._turn:
            await self._writer.finish(work.transaction, work.probe)

    # Reading beside turns.

    async def load(self, keys: Sequence[str]) -> Loaded:
        return await self._reader.run(work.snapshot, work.load, keys)

    async def read_log(self, after: int, limit: int) -> list[LogRow]:
        return await self._reader.run(work.read_log, after, limit)

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        return await self._reader.run(work.read_stream, stream, after, upto, limit)

    async def find(self, rows: Sequence[Rows]) -> list[Found]:
        session = self._searcher if any(isinstance(each, Holding) for each in rows) else self._finder
        if len(rows) == 1:  # one statement is of one moment by itself
            return await session.run(work.find, rows)
        return await session.run(work.snapshot, work.find, rows)

    # The stream for other programs. There is one process, and it leads.

    async def lead(self) -> int | None:
        return await self._reader.run(work.read_published)

    async def mark_published(self, position: int) -> None:
        async with self._turn:
            await self._writer.finish(work.transaction, work.mark_published, position)

    async def resign(self) -> None:
        """The next process leads when it has the file."""

    # Maintenance.

    async def read_info(self) -> LogInfo:
        return await self._reader.run(work.read_info)

    async def write_epoch(self, epoch: str) -> None:
        async with self._turn:
            await self._writer.finish(work.transaction, maintenance.write_epoch, epoch)

    async def tables(self) -> list[str]:
        return await self._finder.run(maintenance.tables)

    async def check_table(self, table: str) -> list[str]:
        return await self._finder.run(maintenance.check_table, table)

    async def backup(self, target: str, tell: Callable[[int, int], None]) -> None:
        over = Event()

        def told(done: int, total: int) -> None:
            if over.is_set():
                raise Unavailable("broken off")
            tell(done, total)

        try:
            await self._finder.run(sqlite_copy.copy, Path(target), self.path, told)
        finally:
            over.set()

    async def read_states(self, after: str, limit: int, *, rebuilt: bool = False) -> list[StateRow]:
        return await self._finder.run(maintenance.read_states, after, limit, rebuilt)

    async def read_listed(self, after: tuple[str, str], limit: int, *, rebuilt: bool = False) -> list[ListedRow]:
        return await self._finder.run(maintenance.read_listed, after, limit, rebuilt)

    async def read_words(self, after: tuple[str, int], limit: int, *, rebuilt: bool = False) -> list[tuple[str, int]]:
        return await self._finder.run(work.snapshot, maintenance.read_words, after, limit, rebuilt)

    async def read_answers(self, after: tuple[str, str], limit: int) -> list[AnswerRow]:
        return await self._finder.run(maintenance.read_answers, after, limit)

    async def start_rebuild(self) -> None:
        async with self._turn:
            self._rebuilding = True
            await self._writer.finish(work.transaction, maintenance.start_rebuild)

    async def _drop_rebuild(self) -> None:
        with suppress(StoreError):  # what cannot be dropped now is when the next one starts
            await self._writer.finish(work.transaction, maintenance.drop_rebuild)
        self._rebuilding = False

    async def write_rebuilt(
        self, states: Sequence[StateRow], words: Sequence[WordsRow], listed: Sequence[ListedRow]
    ) -> None:
        async with self._turn:
            await self._writer.finish(work.transaction, maintenance.write_rebuilt, states, words, listed)

    async def finish_rebuild(self) -> None:
        async with self._turn:
            await self._writer.finish(work.transaction, maintenance.finish_rebuild)
            self._rebuilding = False
