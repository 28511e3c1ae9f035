"""Work beside the daily: reading what is folded page by page, checking it, and putting a fold anew in its place."""

from collections.abc import Sequence
from typing import Final

import asyncpg
from asyncpg import Connection

from chat.domain.errors import Unavailable, Unusable
from chat.domain.log import AnswerRow, ListedRow, StateRow, WordsRow
from chat.infra.stores import postgres_statements as say
from chat.infra.stores.postgres_statements import columns
from chat.infra.stores.postgres_work import quoted
from chat.infra.stores.sql import FOLDED, anew

# What reading a table can find: XX000 is told of a page or a value that makes no sense.
DAMAGE: Final = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError, asyncpg.InternalServerError)

DROP: Final = "".join(f"DROP TABLE IF EXISTS {table}_new;" for table in FOLDED)
MAKE: Final = "".join(f"CREATE TABLE {table}_new (LIKE {table} INCLUDING ALL);" for table in FOLDED)
SWAP: Final = "".join(f"DROP TABLE {table}; ALTER TABLE {table}_new RENAME TO {table};" for table in FOLDED)


async def write_epoch(connection: Connection, epoch: str) -> None:
    await connection.execute(say.WRITE_EPOCH, epoch)


async def tables(connection: Connection) -> list[str]:
    return [name for (name,) in await connection.fetch(say.TABLES)]


async def check_table(connection: Connection, table: str) -> list[str]:
    """Every row is read to its end, and every index too where there is the extension `amcheck`."""
    questions = [f"SELECT count(t::text) FROM {table} t"]  # noqa: S608
    if await has_amcheck(connection):
        questions += [f"SELECT bt_index_check('{index}', true)" for index in await indexes(connection, table)]
    await connection.execute("SET enable_seqscan = on")
    found = [await damage(connection, question) for question in questions]
    await connection.execute("RESET enable_seqscan")
    return list(filter(None, found))


async def damage(connection: Connection, question: str) -> str:
    try:
        await connection.execute(question)
    except DAMAGE as error:
        return str(error.args[0])
    return ""


async def has_amcheck(connection: Connection) -> bool:
    [[has]] = await connection.fetch("""
        SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure('bt_index_check(regclass,boolean)')
            AND has_function_privilege(oid, 'execute'))""")
    return bool(has)


async def indexes(connection: Connection, table: str) -> list[str]:
    found = await connection.fetch(
        "SELECT indexrelid::regclass::text FROM pg_index"
        " JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam"
        " WHERE indrelid = $1::text::regclass AND amname = 'btree'",
        table,
    )
    return [name for (name,) in found]


async def read_states(connection: Connection, after: str, limit: int, rebuilt: bool) -> list[StateRow]:
    found = await connection.fetch(of(say.READ_STATES, rebuilt), after, limit)
    return [StateRow._make(row) for row in found]


async def read_listed(connection: Connection, after: tuple[str, str], limit: int, rebuilt: bool) -> list[ListedRow]:
    found = await connection.fetch(of(say.READ_LISTED, rebuilt), *after, limit)
    return [ListedRow._make(row) for row in found]


async def read_answers(connection: Connection, after: tuple[str, str], limit: int) -> list[AnswerRow]:
    return [AnswerRow._make(row) for row in await connection.fetch(say.READ_ANSWERS, *after, limit)]


class WordPages:
    """Sorting all pairs of a word and a position takes long, so it is done at the first page: the others are fetched
    from a cursor, as long as each begins where the one before ended."""

    def __init__(self) -> None:
        self._at: tuple[Connection, bool, tuple[str, int]] | None = None  # where the cursor stands

    async def read(
        self, connection: Connection, after: tuple[str, int], limit: int, rebuilt: bool
    ) -> list[tuple[str, int]]:
        if self._at != (connection, rebuilt, after):
            await self._sort(connection, after, rebuilt)
        found: list[tuple[str, int]] = [
            (word, position) for word, position in await connection.fetch(f"FETCH {int(limit)} FROM pages")
        ]
        self._at = (connection, rebuilt, found[-1]) if found else None
        return found

    async def _sort(self, connection: Connection, after: tuple[str, int], rebuilt: bool) -> None:
        self._at = None
        await connection.execute("CLOSE ALL")
        await connection.execute("BEGIN")
        await connection.execute(of(say.SORT_WORDS, rebuilt), *after)
        await connection.execute("COMMIT")


class Rebuild:
    """The connection that fills new tables has the lock that all nodes share, and now alone; it is lost with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alone: Connection | None = None

    @property
    def is_under_way(self) -> bool:
        return self._alone is not None

    async def start(self, connection: Connection) -> None:
        [[alone]] = await connection.fetch(f"SELECT pg_try_advisory_lock({say.SERVING})")
        if not alone:
            raise Unusable(f"{self._name} is in use: stop all nodes first.")
        self._alone = connection
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(DROP + MAKE)

    async def write(
        self,
        connection: Connection,
        states: Sequence[StateRow],
        words: Sequence[WordsRow],
        listed: Sequence[ListedRow],
    ) -> None:
        self._check(connection)
        filed = [(row.position, quoted(row.after)) for row in words if row.after]
        await connection.execute(anew(say.PUT_STATES), *columns(states, 4))
        await connection.execute(anew(say.PUT_WORDS), *columns(filed, 2))
        await connection.execute(anew(say.LIST), *columns(listed, 3))

    async def finish(self, connection: Connection) -> None:
        self._check(connection)
        await connection.execute(f"BEGIN; {SWAP} COMMIT")
        await self._end(connection)

    async def drop(self, connection: Connection) -> None:
        self._check(connection)
        await connection.execute(DROP)
        await self._end(connection)

    async def _end(self, connection: Connection) -> None:
        self._alone = None
        await connection.execute(f"RESET statement_timeout; SELECT pg_advisory_unlock({say.SERVING})")

    def _check(self, connection: Connection) -> None:
        if connection is not self._alone:
            raise Unavailable("no rebuild was started, or its connection was lost")


def of(sql: str, rebuilt: bool) -> str:
    return anew(sql) if rebuilt else sql
