"""What is said to PostgreSQL: a batch is one array for each of its columns, and the rows of several reads come out of
one statement, each as an array, so that they are of one moment and cost one round trip.
"""
# ruff: noqa: S608 -- they are put together here, of nothing that comes from outside

import re
from collections.abc import Sequence
from functools import reduce
from itertools import count
from typing import Any, Final

from chat.infra.stores import sql
from chat.infra.stores.sql import Batch, Lookup, Put, Select

TYPES: Final = {
    **dict.fromkeys(("position", "seq", "after", "format"), "bigint"),
    **dict.fromkeys(("event", "state", "answer"), "bytea"),
}


def numbered(text: str) -> str:
    """PostgreSQL numbers its values, and has a name of its own for what finds one text in another."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text.replace("instr(", "strpos("))


def select(one: Select) -> str:
    return f"SELECT {one.columns}, {one.blob} FROM {one.source}"


def lookup(one: Lookup) -> str:
    return given(one.given) + select(one.found)


def batch(one: Batch) -> str:
    return given(one.given) + one.sql


def put(one: Put) -> str:
    rest = [column for column in one.columns.split(", ") if column not in one.key.split(", ")]
    new = ", ".join(f"{column} = excluded.{column}" for column in rest)
    rows = f"INSERT INTO {one.table} ({one.columns}) SELECT * FROM given"
    return f"{given(one.columns)}{rows} ON CONFLICT ({one.key}) DO UPDATE SET {new}"


def given(names: str) -> str:
    arrays = ", ".join(f"?::{TYPES.get(name, 'text')}[]" for name in names.split(", "))
    return f"WITH given({names}) AS (SELECT * FROM unnest({arrays})) "


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Their arrays."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def gathered(one: Select, beginning: str = "") -> str:
    """All its rows as one value."""
    return f"ARRAY({beginning}SELECT ROW({one.columns}, {one.blob}) FROM {one.source})"


def of_each(one: str, *names: str) -> str:
    """All that it finds as one value, for each row of a table that has its values by these names."""
    return reduce(lambda text, name: text.replace("?", name, 1), names, f"ARRAY({one})")


# Advisory locks: the writer's, that of the node that publishes, and one that every node shares and a rebuild has alone.

TURN: Final = 0x63686174_00000001
LEADER: Final = TURN + 1
SERVING: Final = TURN + 2

# A turn. The lock is a statement of its own: what the next one sees is of a moment when the turn had it.

LOCK: Final = f"SELECT pg_advisory_xact_lock({TURN})"
BEGIN: Final = f"BEGIN; {LOCK}"

# The tail of a state begins behind what was written of it last.
BEHIND: Final = """
    WITH given(stream, after) AS (
        SELECT asked.key, coalesce(seq, 0) FROM unnest(?::text[]) AS asked(key) LEFT JOIN states USING (key)
    ) """
STATES: Final = ", ".join(
    [gathered(sql.SNAPSHOTS.found, given(sql.SNAPSHOTS.given)), gathered(sql.TAILS.found, BEHIND)]
)
ANSWERED: Final = gathered(sql.ANSWERED.found, given(sql.ANSWERED.given))
BEGUN: Final = numbered(f"SELECT epoch, format, ({sql.HEAD}), {gathered(sql.LOG)}, {ANSWERED}, {STATES} FROM log_info")
LOAD: Final = numbered(f"SELECT ({sql.HEAD}), {STATES}")
ABOUT: Final = numbered(lookup(sql.ABOUT))
FIRST_ABOUT: Final = numbered(batch(sql.FIRST_ABOUT))

_PUT_WORDS: Final = f"""{given("position, held")}
    INSERT INTO words (position, held) SELECT position, held::tsvector FROM given
    ON CONFLICT (position) DO UPDATE SET held = excluded.held"""
DROP_WORDS: Final = f"{given('position')} DELETE FROM words WHERE position IN (SELECT * FROM given)"

# All that a turn leaves behind, in one statement. How many events it erased comes out.
COMMIT: Final = numbered(f"""
    WITH appended AS ({batch(sql.APPEND)}),
    erased AS ({batch(sql.ERASE)} RETURNING 1),
    answered_now AS ({batch(sql.ANSWER)}),
    put_states AS ({put(sql.PUT_STATES)}),
    put_words AS ({_PUT_WORDS}),
    dropped_words AS ({DROP_WORDS}),
    put_listed AS ({put(sql.LIST)}),
    unlisted AS ({batch(sql.UNLIST)})
    SELECT count(*) FROM erased""")

# Reading.

INFO: Final = sql.INFO
LOG: Final = numbered(select(sql.LOG))
STREAM: Final = numbered(select(sql.STREAM))
# A row for each range, with its place among those that were asked for; in any order, as PostgreSQL would hold all of
# them to sort them.
RANGES: Final = f"""
    SELECT place, CASE WHEN newest THEN {of_each(sql.RANGE_NEWEST, "first", "last", "most")}
        ELSE {of_each(sql.RANGE, "first", "last", "most")} END
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[])
        WITH ORDINALITY AS asked(first, last, most, newest, place)"""
LISTED: Final = numbered(sql.LISTED)
HOLDING: Final = """
    SELECT key, state, position FROM words JOIN log USING (position) JOIN states ON key = about
    WHERE held @@ $1::text::tsquery AND position < $2 ORDER BY position DESC LIMIT $3"""

# Publishing.

PUBLISHED: Final = sql.PUBLISHED
TRY_TO_LEAD: Final = f"SELECT pg_try_advisory_lock({LEADER})"
RESIGN: Final = "SELECT pg_advisory_unlock_all()"
MARK_PUBLISHED: Final = numbered(sql.MARK_PUBLISHED)

# Maintenance.

TABLES: Final = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"

PUT_STATES: Final = numbered(put(sql.PUT_STATES))
PUT_WORDS: Final = numbered(_PUT_WORDS)
LIST: Final = numbered(put(sql.LIST))

READ_STATES: Final = numbered(select(sql.READ_STATES))
READ_LISTED: Final = numbered(sql.READ_LISTED)
READ_ANSWERS: Final = numbered(select(sql.READ_ANSWERS))
SORT_WORDS: Final = """
    DECLARE pages CURSOR WITH HOLD FOR
    SELECT word, position FROM words, unnest(tsvector_to_array(held)) AS word
    WHERE (word COLLATE "C", position) > ($1, $2) ORDER BY word COLLATE "C", position"""
WRITE_EPOCH: Final = numbered(sql.WRITE_EPOCH)
