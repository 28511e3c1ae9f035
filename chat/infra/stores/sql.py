"""What is said to a database, whichever it is; each dialect renders it in its own way.

`?` stands for a value, in their order. A batch is a statement about many rows, which it finds in a table `given`, and
meets every one of the others through an index. Rows come out as columns of text and numbers, with one of bytes behind
them. What only one dialect can say (words, locks, the schema) stands in its own file.
"""

from typing import Final, NamedTuple


class Select(NamedTuple):
    """SELECT `columns`, `blob` FROM `source`. The names must do without their table's."""

    columns: str
    blob: str
    source: str


class Lookup(NamedTuple):
    """What is found for the rows of `given`, which has these columns."""

    given: str
    found: Select


class Batch(NamedTuple):
    """A statement about the rows of `given`."""

    given: str
    sql: str


class Put(NamedTuple):
    """Rows of these columns take the place of those with an equal key, the last of several."""

    columns: str
    table: str
    key: str


EVENT: Final = "position, stream, seq, about"

# A turn.

HEAD: Final = "SELECT coalesce(max(position), 0) FROM log"
INFO: Final = f"SELECT epoch, format, ({HEAD}) FROM log_info"  # noqa: S608
LOG: Final = Select(EVENT, "event", "log WHERE position > ? ORDER BY position LIMIT ?")
STREAM: Final = Select(EVENT, "event", "log WHERE stream = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?")
ANSWERED: Final = Lookup("actor, id", Select("actor, id", "answer", "given JOIN answered USING (actor, id)"))
SNAPSHOTS: Final = Lookup("key", Select("key, seq, format", "state", "given JOIN states USING (key)"))
TAILS: Final = Lookup(
    "stream, after",
    Select(EVENT, "event", "given JOIN log USING (stream) WHERE seq > after ORDER BY position"),
)
ABOUT: Final = Lookup("about", Select(EVENT, "event", "given JOIN log USING (about) ORDER BY position"))
FIRST_ABOUT: Final = Batch("about", "SELECT about, min(position) FROM given JOIN log USING (about) GROUP BY about")

APPEND: Final = Batch("position, stream, seq, about, event", "INSERT INTO log SELECT * FROM given")
ERASE: Final = Batch(
    "position, event", "UPDATE log SET event = given.event FROM given WHERE log.position = given.position"
)
ANSWER: Final = Batch("actor, id, answer", "INSERT INTO answered (actor, id, answer) SELECT * FROM given")
PUT_STATES: Final = Put("key, seq, format, state", "states", "key")
LIST: Final = Put("list, key, label", "listed", "list, key")
UNLIST: Final = Batch("list, key", "DELETE FROM listed WHERE (list, key) IN (SELECT * FROM given)")

# Rows for queries.

RANGE: Final = "SELECT state FROM states WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"
RANGE_NEWEST: Final = "SELECT state FROM states WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?"
LISTED: Final = """
    SELECT key FROM listed WHERE list = ? AND instr(label, ?) > 0 AND (label, key) > (?, ?)
    ORDER BY label, key LIMIT ?"""

# Publishing.

PUBLISHED: Final = "SELECT position FROM published"
MARK_PUBLISHED: Final = "UPDATE published SET position = ? WHERE position < ?"

# Maintenance.

WRITE_EPOCH: Final = "UPDATE log_info SET epoch = ?"
READ_STATES: Final = Select("key, seq, format", "state", "states WHERE key > ? ORDER BY key LIMIT ?")
READ_ANSWERS: Final = Select("actor, id", "answer", "answered WHERE (id, actor) > (?, ?) ORDER BY id, actor LIMIT ?")
READ_LISTED: Final = "SELECT list, key, label FROM listed WHERE (list, key) > (?, ?) ORDER BY list, key LIMIT ?"

FOLDED: Final = ("states", "words", "listed")


def anew(sql: str) -> str:
    """The same of the tables that a rebuild fills."""
    for table in (*FOLDED, "vocabulary"):
        sql = sql.replace(f" {table}", f" {table}_new")
    return sql
