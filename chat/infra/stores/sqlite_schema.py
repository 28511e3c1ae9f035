"""The file: who may have it open, what is in it, and how an older one becomes a newer one.

One process has the file open for writing: it holds a lock on a file beside it, `<file>-lock`, for as long as it runs.
(A lock on the file itself would not do: to open and close it once more in this process lets go of SQLite's own.) The
first MIGRATIONS make a new file; PRAGMA user_version counts those that a file has seen. An older file is copied to
`<file>.before-v<version>` before it is changed.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from chat.domain.errors import Unusable

APPLICATION: Final = 0x63686174  # "chat"
OLDEST: Final = (3, 37, 0)  # the first with STRICT tables

PATIENCE: Final = 2.0  # seconds, with another program that has the file locked

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
)

WRITER: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA wal_autocheckpoint = 16000;
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
    return connection


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
        copy(connection, Path(f"{path}.before-v{len(MIGRATIONS)}"))
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


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """All or nothing, and on the disk before this returns."""
    part = Path(f"{target}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(_connect(part, "rw")) as copied:
        connection.backup(copied)
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


SENTENCES: Final = {
    sqlite3.SQLITE_NOTADB: "is no database, or its beginning is damaged: restore a backup, or use another file.",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup.",
    sqlite3.SQLITE_FULL: "cannot be opened: the disk is full.",
    sqlite3.SQLITE_READONLY: "cannot be written to: check the permissions of the file and its directory.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check the permissions of the file and its directory.",
    sqlite3.SQLITE_PERM: "cannot be opened: check the permissions of the file and its directory.",
    sqlite3.SQLITE_BUSY: "is in use by another program: stop it first.",
}


def sentence(path: Path, error: BaseException | None) -> str:
    """Why the file cannot be opened, for people."""
    if not path.exists():
        return f"{path} does not exist."
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details
    return f"{path} {SENTENCES.get(code, f'cannot be opened: {error}.')}"


class Claim:
    """The file is this process's, and there, until `release`."""

    def __init__(self, path: Path) -> None:
        with _told(path):
            self._lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(path)
            with _told(path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except BaseException:
            os.close(self._lock)
            raise

    def _take(self, path: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise Unusable(
                f"{path} is in use by another process (pid {pid}): stop it first, or use another file."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._lock)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what the system said."""
    try:
        yield
    except FileNotFoundError:
        raise Unusable(f"The directory {path.parent} does not exist: create it, or use another file.") from None
    except OSError as error:
        raise Unusable(f"{path} cannot be opened for writing: {error.strerror}.") from error


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
