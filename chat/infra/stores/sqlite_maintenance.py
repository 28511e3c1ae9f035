"""Work beside the daily: the epoch, reading what is folded page by page, and putting a fold anew in its place."""

import re
import sqlite3
from collections.abc import Sequence

from chat.domain.log import AnswerRow, ListedRow, StateRow, WordsRow
from chat.infra.stores import sqlite_statements as say
from chat.infra.stores.sql import FOLDED, anew
from chat.infra.stores.sqlite_statements import Batch, change
from chat.infra.stores.sqlite_work import ask, quoted


def write_epoch(connection: sqlite3.Connection, epoch: str) -> None:
    connection.execute(say.WRITE_EPOCH, (epoch,))


def tables(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage").fetchall()
    return ["sqlite_schema", *(name for (name,) in found)]


def check_table(connection: sqlite3.Connection, table: str) -> list[str]:
    """With its indexes. At most 100 sentences, which is SQLite's own bound."""
    found = connection.execute("SELECT * FROM pragma_integrity_check(?)", (table,)).fetchall()
    return [line for (line,) in found if line != "ok"]


def read_states(connection: sqlite3.Connection, after: str, limit: int, rebuilt: bool) -> list[StateRow]:
    return [StateRow._make(row) for row in ask(connection, of(say.READ_STATES, rebuilt), after, limit)]


def read_listed(connection: sqlite3.Connection, after: tuple[str, str], limit: int, rebuilt: bool) -> list[ListedRow]:
    found = connection.execute(of(say.READ_LISTED, rebuilt), (*after, limit))
    return [ListedRow._make(row) for row in found.fetchall()]


def read_words(
    connection: sqlite3.Connection, after: tuple[str, int], limit: int, rebuilt: bool
) -> list[tuple[str, int]]:
    word, position = after
    found: list[tuple[str, int]] = []
    if word:
        values = (word, quoted(word), position, limit)
        found = connection.execute(of(say.READ_WORD, rebuilt), values).fetchall()
        word += "\0"  # the next that there can be
    rest = (word, limit - len(found))
    return found + connection.execute(of(say.READ_WORDS, rebuilt), rest).fetchall()


def read_answers(connection: sqlite3.Connection, after: tuple[str, str], limit: int) -> list[AnswerRow]:
    return [AnswerRow._make(row) for row in ask(connection, say.READ_ANSWERS, *after, limit)]


def start_rebuild(connection: sqlite3.Connection) -> None:
    drop_rebuild(connection)
    for table in FOLDED:
        [[sql]] = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
        connection.execute(re.sub(rf'TABLE "?{table}"?', f"TABLE {table}_new", sql, count=1))


def write_rebuilt(
    connection: sqlite3.Connection,
    states: Sequence[StateRow],
    words: Sequence[WordsRow],
    listed: Sequence[ListedRow],
) -> None:
    filed = sorted((row.position, " ".join(row.after)) for row in words if row.after)
    change(connection, batch(say.PUT_STATES), states)
    change(connection, batch(say.PUT_WORDS), filed)
    change(connection, batch(say.LIST), listed)


def finish_rebuild(connection: sqlite3.Connection) -> None:
    for table in FOLDED:
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE {table}_new RENAME TO {table}")


def drop_rebuild(connection: sqlite3.Connection) -> None:
    for table in FOLDED:
        connection.execute(f"DROP TABLE IF EXISTS {table}_new")


def of(sql: str, rebuilt: bool) -> str:
    return anew(sql) if rebuilt else sql


def batch(one: Batch) -> Batch:
    return Batch(one.columns, anew(one.sql))
