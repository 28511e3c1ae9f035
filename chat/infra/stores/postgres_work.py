"""The pieces of work that the sessions of a store are given: what a turn reads and leaves behind, and what is read
beside it. Each is a plain function of a connection; who rolls back after an error is the session.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, assert_never

from asyncpg import Connection

from chat.domain.errors import Poisoned, Unavailable
from chat.domain.log import (
    TAIL,
    Begun,
    Erasure,
    Found,
    Hit,
    Holding,
    Listed,
    Loaded,
    LogInfo,
    LogRow,
    Range,
    Rows,
    StateRow,
    Stored,
    WordsRow,
    Writes,
)
from chat.infra.stores import postgres_statements as say
from chat.infra.stores.postgres_statements import columns

EVERY: Final = 2**63 - 1  # behind every position

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], Awaitable[T]]


async def snapshot(connection: Connection, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """All that `work` reads is of one moment."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    found = await work(connection, *args, **kwargs)
    await connection.execute("COMMIT")
    return found


async def transaction(connection: Connection, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Alone, as a turn is."""
    await connection.execute(say.BEGIN)
    done = await work(connection, *args, **kwargs)
    await connection.execute("COMMIT")
    return done


# A turn.


async def begin(connection: Connection, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
    await connection.execute(say.BEGIN)
    keys = list(dict.fromkeys(keys))
    [found] = await connection.fetch(say.BEGUN, after, TAIL, *columns(asked, 2), keys, keys)
    epoch, form, head, tail, answered, snapshots, tails = found
    return Begun(
        LogInfo(epoch, form, head),
        tuple(map(LogRow._make, tail)),
        {(actor, id): answer for actor, id, answer in answered},
        Loaded(head, stored(keys, snapshots, tails)),
    )


async def load(connection: Connection, keys: Sequence[str]) -> Loaded:
    keys = list(dict.fromkeys(keys))
    [[head, snapshots, tails]] = await connection.fetch(say.LOAD, keys, keys)
    return Loaded(head, stored(keys, snapshots, tails))


def stored(keys: Sequence[str], snapshots: Iterable[Any], rows: Iterable[Any]) -> dict[str, Stored]:
    found = {row.key: row for row in map(StateRow._make, snapshots)}
    tails: dict[str, list[LogRow]] = {key: [] for key in keys}
    for row in map(LogRow._make, rows):
        tails[row.stream].append(row)
    return {key: Stored(found.get(key), tuple(tail)) for key, tail in tails.items()}


async def within_turn(connection: Connection, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Without a transaction each statement would be a turn of its own."""
    if not connection.is_in_transaction():
        raise Unavailable("the turn has ended")
    return await work(connection, *args, **kwargs)


async def read_about(connection: Connection, names: Sequence[str]) -> list[LogRow]:
    found = await connection.fetch(say.ABOUT, list(dict.fromkeys(names)))
    return [LogRow._make(row) for row in found]


async def commit(connection: Connection, head: int, writes: Writes) -> None:
    log, erasures = erased(head, writes)
    words = await filed(connection, log, writes.words)
    states = {row.key: row for row in writes.states}
    listed = {(row.list, row.key): row for row in writes.listed}
    [[count]] = await connection.fetch(
        say.COMMIT,
        *columns(log, 5),
        *columns(erasures, 2),
        *columns(writes.answers, 3),
        *columns(list(states.values()), 4),
        *columns([(at, quoted(row.after)) for at, row in words.items() if row.after], 2),
        [at for at, row in words.items() if not row.after],
        *columns([row for row in listed.values() if row.label is not None], 3),
        *columns([at for at, row in listed.items() if row.label is None], 2),
    )
    if count != len(erasures):
        raise Poisoned("an erasure is of no event")
    await connection.execute("COMMIT")


def erased(head: int, writes: Writes) -> tuple[list[LogRow], list[Erasure]]:
    """The new events, without what is taken back in the turn that they are of; and what is of earlier ones. One
    statement cannot change a row that it has made."""
    if any(row.position != position for position, row in enumerate(writes.log, head + 1)):
        raise Poisoned(f"the positions do not follow {head} one by one")
    left = {row.position: row for row in writes.erasures}
    log = [row._replace(event=left.pop(row.position, row).event) for row in writes.log]
    return log, list(left.values())


async def filed(connection: Connection, log: Sequence[LogRow], words: Sequence[WordsRow]) -> dict[int, WordsRow]:
    """By the position of the first event about each, which may be of this very turn."""
    unknown = {row.key for row in words if not row.position}
    first = {row.about: row.position for row in reversed(log)}
    if unknown:
        first |= {row[0]: row[1] for row in await connection.fetch(say.FIRST_ABOUT, list(unknown))}
    found: dict[int, WordsRow] = {}
    for row in words:
        if not (position := row.position or first.get(row.key)):
            raise Poisoned(f"words are of a key that no event is about: {row.key}")
        found[position] = row
    return found


def quoted(words: Iterable[str], between: str = " ") -> str:
    """As PostgreSQL reads them, whatever they hold. The empty one is none."""
    return between.join("'" + word.replace("\\", "\\\\").replace("'", "''") + "'" for word in words if word)


async def probe(connection: Connection) -> None:
    """What is there is written once more, and with it the write-ahead log."""
    await connection.execute("UPDATE published SET position = position")


# Reading.


async def read_info(connection: Connection) -> LogInfo:
    [info] = await connection.fetch(say.INFO)
    return LogInfo._make(info)


async def read_log(connection: Connection, after: int, limit: int) -> list[LogRow]:
    return [LogRow._make(row) for row in await connection.fetch(say.LOG, after, limit)]


async def read_stream(connection: Connection, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
    return [LogRow._make(row) for row in await connection.fetch(say.STREAM, stream, after, upto, limit)]


async def find(connection: Connection, rows: Sequence[Rows]) -> list[Found]:
    """One statement sees one moment by itself."""
    if len(rows) == 1 or all(isinstance(one, Range) for one in rows):
        return await find_each(connection, rows)
    return await snapshot(connection, find_each, rows)


async def find_each(connection: Connection, rows: Sequence[Rows]) -> list[Found]:
    ranges = iter(await find_ranges(connection, [one for one in rows if isinstance(one, Range)]))
    return [next(ranges) if isinstance(one, Range) else await find_one(connection, one) for one in rows]


async def find_ranges(connection: Connection, ranges: Sequence[Range]) -> list[list[bytes]]:
    """However many they are, in one round trip."""
    if not ranges:
        return []
    asked = [(one.first, one.last, one.limit, one.newest) for one in ranges]
    found = await connection.fetch(say.RANGES, *columns(asked, 4))
    return [states for _, states in sorted(found, key=itemgetter(0))]


async def find_one(connection: Connection, rows: Holding | Listed) -> Found:
    match rows:
        case Holding():
            return [Hit(*row) for row in await find_holding(connection, rows)]
        case Listed():
            found = await connection.fetch(say.LISTED, rows.list, rows.text, *rows.after, rows.limit)
            return [key for (key,) in found]
        case _:
            assert_never(rows)


async def find_holding(connection: Connection, rows: Holding) -> list[Any]:
    groups = [quoted(group, " | ") for group in [(word,) for word in rows.words] + list(rows.among)]
    if not groups or not all(groups):
        return []
    query = " & ".join(f"({group})" for group in groups)
    before = EVERY if rows.before is None else rows.before
    return await connection.fetch(say.HOLDING, query, before, rows.limit)
