"""What is in the file, how a connection to it is made, and how an older one becomes a newer one.

The first MIGRATIONS make a new file; PRAGMA user_version counts those that a file has seen. An older file is copied to
`<file>.before-v<version>` before it is changed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from chat.domain.errors import Unusable
from chat.infra.stores import sqlite_wal as wal
from chat.infra.stores.sqlite_copy import APPLICATION, copy
from chat.infra.stores.sqlite_file import told

OLDEST: Final = (3, 37, 0)  # the first with STRICT tables

# Seconds, with another program that has the file locked. Whoever waits may wait for it a second time, and has to be
# told within three.
PATIENCE: Final = 0.8

# `answered` has the id first: ids that sort by time then go to one end of it.
# Of the words a search needs who holds them, not where in the text nor how many there are.
MIGRATIONS: Final = (
    """
    CREATE TABLE log_info (epoch TEXT NOT NULL, format INTEGER NOT NULL) STRICT;
    CREATE TABLE log (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        seq INTEGER NOT NULL,
        about TEXT,
        event BLOB NOT NULL,
        UNIQUE (stream, seq)
    ) STRICT;
    CREATE INDEX log_about ON log (about) WHERE about IS NOT NULL;
    CREATE TABLE states (
        key TEXT NOT NULL PRIMARY KEY,
        seq INTEGER NOT NULL,
        format INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE answered (
        actor TEXT NOT NULL,
        id TEXT NOT NULL,
        answer BLOB NOT NULL,
        PRIMARY KEY (id, actor)
    ) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5(
        held, content='', detail=none, columnsize=0, tokenize="ascii tokenchars '_:.-'"
    );
    CREATE TABLE listed (
        list TEXT NOT NULL,
        key TEXT NOT NULL,
        label TEXT NOT NULL,
        PRIMARY KEY (list, key),
        UNIQUE (list, label, key)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE published (position INTEGER NOT NULL) STRICT;
    INSERT INTO published VALUES (0);
    """,
)

# The larger a page is, the fewer are written of what mostly stands side by side. The write-ahead log is brought in when
# it has grown to 64 MB; to 32 in a file that was made before, and keeps its pages of 4 KiB.
WRITER: Final = """
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA wal_autocheckpoint = 8000;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
    """

# The vocabulary is a view of the words, and lives with the connection.
READER: Final = """
    CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, instance);
    CREATE VIRTUAL TABLE temp.vocabulary_new USING fts5vocab(main, words_new, instance);
    PRAGMA cache_size = -16384;
    PRAGMA query_only = ON;
    """


def connect_writer(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "rw")
    with _closing_after_trouble(connection):
        check_file(connection, path)
        connection.executescript(WRITER)
        [[mode]] = connection.execute("PRAGMA journal_mode").fetchall()
        if mode != "wal":
            raise Unusable(f"{path} is on a file system that SQLite's write-ahead log does not work on.")
        wal.settle(connection, path)
    return connection


def check_wal(path: Path) -> None:
    """At the start, before any connection of this process that stays. By one that cannot write: one that can tidies up
    when it closes, and what is damaged is gone then. Raises `Unusable`."""
    with told(path), ExitStack() as afterwards:
        if wal.holds_anything(path):
            with closing(_connect(path, "ro")) as connection:
                check_file(connection, path)
                wal.check(path, afterwards.enter_context(wal.index(path)))


def connect_reader(path: Path) -> sqlite3.Connection:
    """It can neither write nor checkpoint."""
    connection = _connect(path, "ro")
    with _closing_after_trouble(connection):
        if check_file(connection, path) < len(MIGRATIONS):
            raise Unusable(f"{path} is of an older version: start the chat on it once.")
        connection.executescript(READER)
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)


@contextmanager
def _closing_after_trouble(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def check_file(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version; 0 is of a file in which there is nothing. Changes nothing."""
    version, application, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_schema")
    )
    if tables and application != APPLICATION:
        raise Unusable(f"{path} is the database of another program: use another file.")
    if version > len(MIGRATIONS):
        raise Unusable(newer(path, "schema", version, len(MIGRATIONS)))
    return int(version)


def newer(path: Path, what: str, found: int, known: int) -> str:
    return f"{path} was written by a newer version ({what} {found}, this one knows {known}): start that one."


def prepare(connection: sqlite3.Connection, path: Path, epoch: str, form: int) -> None:
    """Make what a new file needs, and bring an older one up to date."""
    version = check_file(connection, path)
    if 0 < version < len(MIGRATIONS):
        copy(connection, Path(f"{path}.before-v{len(MIGRATIONS)}"), path)
    if version < len(MIGRATIONS):
        migrate(connection, version)
    connection.execute("INSERT INTO log_info SELECT ?, ? WHERE NOT EXISTS (SELECT * FROM log_info)", (epoch, form))
    check_format(connection, path, form)
    connection.execute("UPDATE log_info SET format = ? WHERE format < ?", (form, form))


def migrate(connection: sqlite3.Connection, version: int) -> None:
    pragmas = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {len(MIGRATIONS)};"
    connection.executescript("".join(["BEGIN IMMEDIATE;", *MIGRATIONS[version:], pragmas, "COMMIT;"]))


def check_format(connection: sqlite3.Connection, path: Path, form: int) -> None:
    [[found]] = connection.execute("SELECT format FROM log_info").fetchall()
    if found > form:
        raise Unusable(newer(path, "format", found, form))


def check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise Unusable(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or later is needed.")
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE words USING fts5(held)")
            connection.execute("SELECT json_group_array(1)")
        except sqlite3.Error as error:
            raise Unusable(f"SQLite {sqlite3.sqlite_version} was built without what is needed: {error}.") from error
