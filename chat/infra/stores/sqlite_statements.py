"""What is said to SQLite: whole batches in, whole pages out, each in one step of a statement.

A step lets go of Python's interpreter lock, and to get it back from a busy event loop can take milliseconds: a turn of
500 messages took more than a second beside such a loop when each row was a step, and 30 ms as one list for each table.
So rows go in as one VALUES list, padded to one of a few lengths whose statements stay prepared; and rows come out
packed into a single one: a JSON list of their columns, and their blobs joined.

Batches that write say OR ROLLBACK, because a turn is taken in whole or not at all: it spares SQLite the journal that
would undo the one statement.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

from msgspec.json import decode

from chat.infra.stores import sql
from chat.infra.stores.sql import Lookup, Put, Select

LENGTHS: Final = (1, 8, 64, 512)  # of a VALUES list


class Batch(NamedTuple):
    """A statement that finds the rows it works on in a table `given` of these columns."""

    columns: str
    sql: str


def execute(connection: sqlite3.Connection, batch: Batch, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Everything that the statement returns."""
    return [row for chunk in chunks(rows) for row in run(connection, batch, chunk)]


def change(connection: sqlite3.Connection, batch: Batch, rows: Sequence[Sequence[Any]]) -> int:
    """How many rows the statement changed."""
    before = connection.total_changes
    for chunk in chunks(rows):
        run(connection, batch, chunk)
    return connection.total_changes - before


def chunks(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    return (rows[at : at + LENGTHS[-1]] for at in range(0, len(rows), LENGTHS[-1]))


def run(connection: sqlite3.Connection, batch: Batch, rows: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
    length = next(length for length in LENGTHS if length >= len(rows))
    padding = [None] * ((length - len(rows)) * len(rows[0]))
    return connection.execute(statement(batch, length), (*chain.from_iterable(rows), *padding, len(rows)))


@cache
def statement(batch: Batch, length: int) -> str:
    row = "(" + ", ".join("?" * (batch.columns.count(",") + 1)) + ")"
    values = "SELECT * FROM (VALUES " + ", ".join([row] * length) + ") LIMIT ?"  # noqa: S608
    return f"WITH given({batch.columns}) AS ({values}) {batch.sql}"


def packed(columns: str, blob: str, source: str) -> str:
    """SELECT `columns`, `blob` FROM `source`, as a single row for `unpack`. The names must do without their table's."""
    rows = f"SELECT {columns}, {blob} FROM {source}"  # noqa: S608
    heads = f"json_group_array(json_array({columns}, length({blob})))"
    return f"SELECT {heads}, CAST(group_concat({blob}, '') AS BLOB) FROM ({rows})"  # noqa: S608


def unpack(packets: Sequence[Any]) -> Iterator[list[Any]]:
    """The rows, each with its blob last."""
    for heads, blobs in packets:
        start = 0
        for row in decode(heads):
            end = start + row[-1]
            row[-1] = blobs[start:end]
            yield row
            start = end


def joined(blob: str, sql: str) -> str:
    """`blob` of every row that the statement finds, as a single row for `cut`."""
    return f"SELECT json_group_array(length({blob})), CAST(group_concat({blob}, '') AS BLOB) FROM ({sql})"  # noqa: S608


def cut(packets: Sequence[Any]) -> Iterator[bytes]:
    for lengths, blobs in packets:
        start = 0
        for length in decode(lengths):
            yield blobs[start : start + length]
            start += length


def select(one: Select) -> str:
    return packed(*one)


def lookup(one: Lookup) -> Batch:
    """What is `given` comes first, and the order is kept when the rows are packed."""
    source = one.found.source.replace("given JOIN", "given CROSS JOIN")
    return Batch(one.given, packed(one.found.columns, one.found.blob, f"{source} LIMIT -1"))


def batch(one: sql.Batch) -> Batch:
    text = one.sql.replace("given JOIN", "given CROSS JOIN")
    for verb in ("INSERT", "UPDATE"):
        text = text.replace(f"{verb} ", f"{verb} OR ROLLBACK ", 1)
    return Batch(one.given, text)


def put(one: Put) -> Batch:
    return Batch(one.columns, f"REPLACE INTO {one.table} SELECT * FROM given")  # noqa: S608


# A turn.

INFO: Final = sql.INFO
HEAD: Final = sql.HEAD
LOG: Final = select(sql.LOG)
STREAM: Final = select(sql.STREAM)
ANSWERED: Final = lookup(sql.ANSWERED)
SNAPSHOTS: Final = lookup(sql.SNAPSHOTS)
TAILS: Final = lookup(sql.TAILS)
ABOUT: Final = lookup(sql.ABOUT)
FIRST_ABOUT: Final = batch(sql.FIRST_ABOUT)

APPEND: Final = batch(sql.APPEND)
ERASE: Final = batch(sql.ERASE)
ANSWER: Final = batch(sql.ANSWER)
PUT_STATES: Final = put(sql.PUT_STATES)
LIST: Final = put(sql.LIST)
UNLIST: Final = batch(sql.UNLIST)
# An index without content is told what to forget.
DROP_WORDS: Final = Batch("position, held", "INSERT INTO words(words, rowid, held) SELECT 'delete', * FROM given")
PUT_WORDS: Final = Batch("position, held", "INSERT INTO words(rowid, held) SELECT * FROM given")

# Rows for queries.

RANGE: Final = joined("state", sql.RANGE)
RANGE_NEWEST: Final = joined("state", sql.RANGE_NEWEST)
LISTED: Final = sql.LISTED
HOLDING: Final = packed(
    "key, position",
    "state",
    "words CROSS JOIN log ON position = words.rowid CROSS JOIN states ON key = about"
    " WHERE words MATCH ? AND words.rowid < ? ORDER BY words.rowid DESC LIMIT ?",
)

# Publishing.

PUBLISHED: Final = sql.PUBLISHED
MARK_PUBLISHED: Final = sql.MARK_PUBLISHED

# Maintenance.

WRITE_EPOCH: Final = sql.WRITE_EPOCH
READ_STATES: Final = select(sql.READ_STATES)
READ_ANSWERS: Final = select(sql.READ_ANSWERS)
READ_LISTED: Final = sql.READ_LISTED
# The vocabulary can be entered at a word, not amid the positions of one: the index itself can.
READ_WORD: Final = "SELECT ?, rowid FROM words WHERE words MATCH ? AND rowid > ? ORDER BY rowid LIMIT ?"
READ_WORDS: Final = "SELECT term, doc FROM vocabulary WHERE term >= ? ORDER BY term LIMIT ?"
