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


def anew(sql: str) -> str:
    """The same of the tables that a rebuild fills."""
    for table in ("states", "words", "listed", "vocabulary"):
        sql = sql.replace(f" {table}", f" {table}_new")
    return sql


# A turn.

INFO = "SELECT epoch, format, (SELECT ifnull(max(position), 0) FROM log) FROM log_info"
HEAD = "SELECT ifnull(max(position), 0) FROM log"
LOG = packed("position, stream, seq, about", "event", "log WHERE position > ? ORDER BY position LIMIT ?")
STREAM = packed(
    "position, stream, seq, about",
    "event",
    "log WHERE stream = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
)
ANSWERED = Batch("actor, id", packed("actor, id", "answer", "given CROSS JOIN answered USING (actor, id) LIMIT -1"))
SNAPSHOTS = Batch("key", packed("key, seq, format", "state", "given CROSS JOIN states USING (key) LIMIT -1"))
TAILS = Batch(
    "stream, after",
    packed(
        "position, stream, seq, about",
        "event",
        "given CROSS JOIN log USING (stream) WHERE seq > after ORDER BY position LIMIT -1",
    ),
)
ABOUT = Batch(
    "about",
    packed(
        "position, stream, seq, about",
        "event",
        "given CROSS JOIN log USING (about) ORDER BY position LIMIT -1",
    ),
)
FIRST_ABOUT = Batch("about", "SELECT about, min(position) FROM given CROSS JOIN log USING (about) GROUP BY about")

APPEND = Batch("position, stream, seq, about, event", "INSERT OR ROLLBACK INTO log SELECT * FROM given")
ERASE = Batch(
    "position, event",
    "UPDATE OR ROLLBACK log SET event = given.event FROM given WHERE log.position = given.position",
)
ANSWER = Batch("actor, id, answer", "INSERT OR ROLLBACK INTO answered (actor, id, answer) SELECT * FROM given")
PUT_STATES = Batch("key, seq, format, state", "REPLACE INTO states SELECT * FROM given")
# An index without content is told what to forget.
DROP_WORDS = Batch("position, held", "INSERT INTO words(words, rowid, held) SELECT 'delete', * FROM given")
PUT_WORDS = Batch("position, held", "INSERT INTO words(rowid, held) SELECT * FROM given")
LIST = Batch("list, key, label", "REPLACE INTO listed SELECT * FROM given")
UNLIST = "DELETE FROM listed WHERE list = ? AND key = ?"

# Rows for queries.

RANGE = packed("key", "state", "states WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?")
RANGE_NEWEST = packed("key", "state", "states WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?")
HOLDING = packed(
    "key, position",
    "state",
    "words CROSS JOIN log ON position = words.rowid CROSS JOIN states ON key = about"
    " WHERE words MATCH ? AND words.rowid < ? ORDER BY words.rowid DESC LIMIT ?",
)
LISTED = """
    SELECT key FROM listed WHERE list = ? AND instr(label, ?) AND (label, key) > (?, ?)
    ORDER BY label, key LIMIT ?"""

# Maintenance.

READ_STATES = packed("key, seq, format", "state", "states WHERE key > ? ORDER BY key LIMIT ?")
READ_ANSWERS = packed("actor, id", "answer", "answered WHERE (id, actor) > (?, ?) ORDER BY id, actor LIMIT ?")
READ_LISTED = "SELECT list, key, label FROM listed WHERE (list, key) > (?, ?) ORDER BY list, key LIMIT ?"
# The vocabulary can be entered at a word, not amid the positions of one: the index itself can.
READ_WORD = "SELECT ?, rowid FROM words WHERE words MATCH ? AND rowid > ? ORDER BY rowid LIMIT ?"
READ_WORDS = "SELECT term, doc FROM vocabulary WHERE term >= ? ORDER BY term LIMIT ?"
