"""The pieces of work that the sessions of a store are given: what a turn reads and leaves behind, and what is read
beside it. Each is a plain function of a connection; who rolls back after an error is the session.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, assert_never

from chat.domain.errors import Poisoned, Unavailable
from chat.domain.log import (
    TAIL,
    Begun,
    Found,
    Hit,
    Holding,
    Listed,
    ListedRow,
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
from chat.infra.stores import sqlite_statements as say
from chat.infra.stores.sqlite_statements import change, cut, execute, unpack

EVERY: Final = 2**63 - 1  # behind every position
WORD: Final = re.compile(r"[\w:.\-\x80-\U0010ffff]+", re.ASCII)  # what the index takes for one; nothing else is in it

P = ParamSpec("P")
T = TypeVar("T")


def snapshot(
    connection: sqlite3.Connection,
    work: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """All that `work` reads is of one moment."""
    connection.execute("BEGIN")
    found = work(connection, *args, **kwargs)
    connection.execute("COMMIT")
    return found


def transaction(
    connection: sqlite3.Connection,
    work: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    connection.execute("BEGIN IMMEDIATE")
    done = work(connection, *args, **kwargs)
    connection.execute("COMMIT")
    return done


# A turn.


def begin(connection: sqlite3.Connection, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
    connection.execute("BEGIN IMMEDIATE")
    info = read_info(connection)
    tail = read_log(connection, after, TAIL) if after < info.head else []
    answered = {(actor, id): answer for actor, id, answer in unpack(execute(connection, say.ANSWERED, asked))}
    return Begun(info, tuple(tail), answered, Loaded(info.head, stored(connection, keys)))


def load(connection: sqlite3.Connection, keys: Sequence[str]) -> Loaded:
    return Loaded(read_head(connection), stored(connection, keys))


def stored(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Stored]:
    if not keys:
        return {}
    snapshots = [StateRow._make(row) for row in unpack(execute(connection, say.SNAPSHOTS, [(key,) for key in keys]))]
    seqs = dict.fromkeys(keys, 0) | {row.key: row.seq for row in snapshots}
    tails: dict[str, list[LogRow]] = {key: [] for key in seqs}
    for row in map(LogRow._make, unpack(execute(connection, say.TAILS, list(seqs.items())))):
        tails[row.stream].append(row)
    found = {row.key: row for row in snapshots}
    return {key: Stored(found.get(key), tuple(tail)) for key, tail in tails.items()}


def within_turn(
    connection: sqlite3.Connection,
    work: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Without a transaction each statement would be a turn of its own."""
    if not connection.in_transaction:
        raise Unavailable("the turn has ended")
    return work(connection, *args, **kwargs)


def read_about(connection: sqlite3.Connection, names: Sequence[str]) -> list[LogRow]:
    found = execute(connection, say.ABOUT, [(name,) for name in dict.fromkeys(names)])
    return sorted(map(LogRow._make, unpack(found)))


def commit(connection: sqlite3.Connection, head: int, writes: Writes) -> None:
    append(connection, head, writes.log)
    if change(connection, say.ERASE, writes.erasures) != len(writes.erasures):
        raise Poisoned("an erasure is of no event")
    change(connection, say.ANSWER, writes.answers)
    change(connection, say.PUT_STATES, writes.states)
    file_words(connection, writes.words)
    put_listed(connection, writes.listed)
    connection.execute("COMMIT")


def append(connection: sqlite3.Connection, head: int, log: Sequence[LogRow]) -> None:
    if any(row.position != position for position, row in enumerate(log, head + 1)):
        raise Poisoned(f"the positions do not follow {head} one by one")
    change(connection, say.APPEND, log)


def file_words(connection: sqlite3.Connection, words: Sequence[WordsRow]) -> None:
    """In the order of positions: going back makes the index write out what it has gathered."""
    unknown = [(row.key,) for row in words if not row.position]
    first: dict[str, int] = dict(execute(connection, say.FIRST_ABOUT, unknown))
    before: dict[int, tuple[str, ...]] = {}
    after: dict[int, tuple[str, ...]] = {}
    for row in words:
        if not (position := row.position or first.get(row.key)):
            raise Poisoned(f"words are of a key that no event is about: {row.key}")
        before.setdefault(position, row.before)
        after[position] = row.after
    change(connection, say.DROP_WORDS, [(at, " ".join(held)) for at, held in sorted(before.items()) if held])
    change(connection, say.PUT_WORDS, [(at, " ".join(held)) for at, held in sorted(after.items()) if held])


def put_listed(connection: sqlite3.Connection, listed: Sequence[ListedRow]) -> None:
    last = {(row.list, row.key): row for row in listed}
    change(connection, say.UNLIST, [where for where, row in last.items() if row.label is None])
    change(connection, say.LIST, [row for row in last.values() if row.label is not None])


def mark_published(connection: sqlite3.Connection, position: int) -> None:
    connection.execute(say.MARK_PUBLISHED, (position, position))


def probe(connection: sqlite3.Connection) -> None:
    """An UPDATE with what is there already writes nothing; the head of the file is always written, and a page of the
    write-ahead log with it."""
    [[version]] = connection.execute("PRAGMA user_version").fetchall()
    connection.execute(f"PRAGMA user_version = {version}")


# Reading.


def read_info(connection: sqlite3.Connection) -> LogInfo:
    [info] = connection.execute(say.INFO).fetchall()
    return LogInfo._make(info)


def read_head(connection: sqlite3.Connection) -> int:
    [[head]] = connection.execute(say.HEAD).fetchall()
    return int(head)


def read_published(connection: sqlite3.Connection) -> int:
    [[position]] = connection.execute(say.PUBLISHED).fetchall()
    return int(position)


def read_log(connection: sqlite3.Connection, after: int, limit: int) -> list[LogRow]:
    return [LogRow._make(row) for row in ask(connection, say.LOG, after, limit)]


def read_stream(connection: sqlite3.Connection, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
    return [LogRow._make(row) for row in ask(connection, say.STREAM, stream, after, upto, limit)]


def find(connection: sqlite3.Connection, rows: Sequence[Rows]) -> list[Found]:
    return [find_one(connection, one) for one in rows]


def find_one(connection: sqlite3.Connection, rows: Rows) -> Found:
    match rows:
        case Range():
            return find_range(connection, rows)
        case Holding():
            return find_holding(connection, rows)
        case Listed():
            found = connection.execute(say.LISTED, (rows.list, rows.text, *rows.after, rows.limit))
            return [key for (key,) in found.fetchall()]
        case _:
            assert_never(rows)


def find_range(connection: sqlite3.Connection, rows: Range) -> list[bytes]:
    sql = say.RANGE_NEWEST if rows.newest else say.RANGE
    return list(cut(connection.execute(sql, (rows.first, rows.last, rows.limit)).fetchall()))


def find_holding(connection: sqlite3.Connection, rows: Holding) -> list[Hit]:
    groups = [" OR ".join(map(quoted, filter(WORD.fullmatch, group))) for group in groups_of(rows)]
    if not groups or not all(groups):
        return []
    match = " AND ".join(f"({group})" for group in groups)
    before = EVERY if rows.before is None else rows.before
    found = ask(connection, say.HOLDING, match, before, rows.limit)
    return [Hit(key, state, position) for key, position, state in found]


def groups_of(rows: Holding) -> list[tuple[str, ...]]:
    return [*((word,) for word in rows.words), *rows.among]


def quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def ask(connection: sqlite3.Connection, sql: str, *values: Any) -> Any:
    return unpack(connection.execute(sql, values).fetchall())
