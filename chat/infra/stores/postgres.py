"""The store that many nodes share.

A node's sessions with the server: one writes, and has the writer's lock for the length of a turn; four only read, one
for states, one for the log, one for pages and lists, one for searches, so that no search, however long, holds up a
page, no page a load, and none of them the look at what is new; one may lead; and one, for maintenance, may take as long
as it likes. Trouble of one is none of the others. A commit is on the server's disk before it returns.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from chat.domain.errors import StoreError, Unusable
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
from chat.infra.stores import postgres_maintenance as maintenance
from chat.infra.stores import postgres_schema as schema
from chat.infra.stores import postgres_server as server
from chat.infra.stores import postgres_work as work
from chat.infra.stores.postgres_leader import Leader
from chat.infra.stores.postgres_session import Session

# Seconds. A turn waits at most two for the lock, and whoever waits for its answer is told within three.
TURN: Final = 2.4
STEP: Final = 0.5  # of a turn, when that is nearly over
READ: Final = 2.0
SEARCH: Final = 10.0
PREPARING: Final = 60.0  # others may make the tables first
LONG: Final = 24 * 3600.0


class PostgresStore:
    """Satisfies `chat.application.ports.Store`. With `read_only` it begins no turn, and makes and changes nothing.
    Without `create` there has to be a chat in the database."""

    def __init__(self, url: str, *, read_only: bool = False, create: bool = True) -> None:
        database = server.Database(url)
        self.name = database.name
        self.read_only = read_only
        self.create = create and not read_only
        self._sentence = database.sentence
        self._turn = asyncio.Lock()
        self._holds = False  # the lock, for a turn that began at
        self._head = 0
        self._until = 0.0  # by the loop's clock
        self._rebuild = maintenance.Rebuild(self.name)
        self._pages = maintenance.WordPages()
        self._leader = Leader()
        self._writer = Session(database.connect_writer)
        self._reader = Session(partial(database.connect, server.READER))
        self._follower = Session(partial(database.connect, server.READER))
        self._finder = Session(partial(database.connect, server.READER))
        self._searcher = Session(partial(database.connect, server.SEARCHER))
        self._keeper = Session(partial(database.connect, server.KEEPER))
        self._publisher = Session(partial(database.connect, server.LEADER))

    @property
    def _sessions(self) -> tuple[Session, ...]:
        readers = (self._reader, self._follower, self._finder, self._searcher, self._keeper)
        return (self._writer, *readers, self._publisher)

    async def open(self, epoch: str, form: int) -> LogInfo:
        for session in self._sessions:
            if not (self.read_only and session in (self._writer, self._publisher)):
                session.open()
        try:
            await (self._open_to_read(form) if self.read_only else self._open_to_write(epoch, form))
            return await self.read_info()
        except BaseException as error:
            await self.close()
            if isinstance(error, StoreError) and not isinstance(error, Unusable):
                raise Unusable(self._sentence(error.__cause__ or error)) from error
            raise

    async def _open_to_read(self, form: int) -> None:
        await self._keeper.run(READ, schema.check, self.name, form)

    async def _open_to_write(self, epoch: str, form: int) -> None:
        await self._writer.run(PREPARING, schema.prepare, self.name, epoch, form, self.create)
        await self.probe()

    async def close(self) -> None:
        """Also while the server is frozen. A rebuild that was not finished leaves nothing, unless its connection was
        lost; what it left is gone when the next one starts."""
        if self._rebuild.is_under_way:
            with suppress(StoreError):
                await self._writer.run(READ, self._rebuild.drop)
        await asyncio.gather(*(session.close() for session in self._sessions))
        self._let_go()

    # A turn.

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        await self._turn.acquire()
        self._holds = True
        self._until = asyncio.get_running_loop().time() + TURN
        try:
            begun = await self._writer.run(TURN, work.begin, after, asked, keys)
        except BaseException:
            await self.abandon()
            raise
        self._head = begun.info.head
        return begun

    def _left(self) -> float:
        return max(self._until - asyncio.get_running_loop().time(), STEP)

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        return await self._writer.run(self._left(), work.within_turn, work.load, keys)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        return await self._writer.run(self._left(), work.within_turn, work.read_about, names)

    async def commit(self, writes: Writes) -> None:
        try:
            await self._writer.run(self._left(), work.within_turn, work.commit, self._head, writes)
        except BaseException:
            await self.abandon()
            raise
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
            await self._writer.run(READ, work.probe)

    # Reading beside turns.

    async def load(self, keys: Sequence[str]) -> Loaded:
        return await self._reader.run(READ, work.load, keys)

    async def read_log(self, after: int, limit: int) -> list[LogRow]:
        return await self._follower.run(READ, work.read_log, after, limit)

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        return await self._finder.run(READ, work.read_stream, stream, after, upto, limit)

    async def find(self, rows: Sequence[Rows]) -> list[Found]:
        if any(isinstance(each, Holding) for each in rows):
            return await self._searcher.run(SEARCH, work.find, rows)
        return await self._finder.run(READ, work.find, rows)

    # The stream for other programs.

    async def lead(self) -> int | None:
        return await self._publisher.run(READ, self._leader.lead)

    async def mark_published(self, position: int) -> None:
        await self._publisher.run(READ, self._leader.mark_published, position)

    async def resign(self) -> None:
        if self._leader.leads:
            with suppress(StoreError):
                await self._publisher.run(READ, self._leader.resign)

    # Maintenance.

    async def read_info(self) -> LogInfo:
        return await self._follower.run(READ, work.read_info)

    async def write_epoch(self, epoch: str) -> None:
        async with self._turn:
            await self._writer.run(TURN, work.transaction, maintenance.write_epoch, epoch)

    async def tables(self) -> list[str]:
        return await self._keeper.run(READ, maintenance.tables)

    async def check_table(self, table: str) -> list[str]:
        return await self._keeper.run(LONG, maintenance.check_table, table)

    async def backup(self, target: str, tell: Callable[[int, int], None]) -> None:
        raise Unusable("A database on a server is copied by PostgreSQL's own tools: use pg_dump.")

    async def read_states(self, after: str, limit: int, *, rebuilt: bool = False) -> list[StateRow]:
        return await self._keeper.run(LONG, maintenance.read_states, after, limit, rebuilt)

    async def read_listed(self, after: tuple[str, str], limit: int, *, rebuilt: bool = False) -> list[ListedRow]:
        return await self._keeper.run(LONG, maintenance.read_listed, after, limit, rebuilt)

    async def read_words(self, after: tuple[str, int], limit: int, *, rebuilt: bool = False) -> list[tuple[str, int]]:
        return await self._keeper.run(LONG, self._pages.read, after, limit, rebuilt)

    async def read_answers(self, after: tuple[str, str], limit: int) -> list[AnswerRow]:
        return await self._keeper.run(LONG, maintenance.read_answers, after, limit)

    async def start_rebuild(self) -> None:
        async with self._turn:
            await self._writer.run(LONG, self._rebuild.start)

    async def write_rebuilt(
        self, states: Sequence[StateRow], words: Sequence[WordsRow], listed: Sequence[ListedRow]
    ) -> None:
        async with self._turn:
            await self._writer.run(LONG, work.transaction, self._rebuild.write, states, words, listed)

    async def finish_rebuild(self) -> None:
        async with self._turn:
            await self._writer.run(LONG, self._rebuild.finish)
