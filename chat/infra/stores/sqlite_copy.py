"""A copy of a database, beside whoever writes to it: all of it or nothing, and on the disk before it has its name."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from chat.domain.errors import Unavailable, Unusable
from chat.infra.stores.sqlite_file import FULL, HEADER, is_full, is_there, sync, told

APPLICATION: Final = 0x63686174  # "chat"
APPLICATION_AT: Final = 68  # in the header
BESIDE: Final = ("", "-wal", "-shm", "-lock", "-journal")  # a file, and what may be beside it
STEP: Final = 1_024  # pages

Told = Callable[[int, int], None]  # pages done, and in all


def check_target(target: Path, source: Path) -> None:
    """Whether a copy may take this place. What is opened here, and closed, is nothing that a connection of this
    process has locked. Raises `Unusable`."""
    with told(target):
        own = [Path(f"{source}{end}") for end in BESIDE]
        if any(_is_same(mine, it) for mine in own for it in (target, _part(target), _lock_of(target))):
            raise Unusable(f"{target} is the database itself, or belongs to it: name another file.")
        if not target.parent.is_dir():
            raise Unusable(f"The directory {target.parent} does not exist: create it, or name another file.")
        if is_there(target) and _is_in_use(target):
            raise Unusable(f"{target} is in use by another process: name another file.")
        if is_there(target) and not _is_chat(target):
            raise Unusable(f"{target} is there, and is no copy of a chat database: name another file.")


def _is_in_use(target: Path) -> bool:
    """Somebody has it open to write, or was killed when they had: there is more to it than this file."""
    beside = (Path(f"{target}{end}") for end in ("-wal", "-journal"))
    if any(is_there(it) and it.stat().st_size for it in beside):
        return True
    try:
        lock = os.open(_lock_of(target), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _part(target: Path) -> Path:
    return Path(f"{target}.part")


def _lock_of(target: Path) -> Path:
    return Path(f"{target}-lock")


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other) or (
        is_there(one) and is_there(other) and one.samefile(other)
    )


def _is_chat(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.read(HEADER)
    return int.from_bytes(header[APPLICATION_AT : APPLICATION_AT + 4], "big") == APPLICATION


def copy(connection: sqlite3.Connection, target: Path, source: Path, tell: Told | None = None) -> None:
    """Of one moment: the source is read in a single transaction, STEP pages at a time, with `tell` called in between,
    which may raise to break it off. Nobody waits for it; but what is written meanwhile stays in the source's
    write-ahead log until it is over, which grows by as much.

    Raises `Unusable` when the target cannot be, `Unavailable` when it cannot be written.
    """
    check_target(target, source)
    with _new(target) as part, _written(target):
        with closing(_connect(part)) as copied, _one_moment(connection):
            connection.backup(copied, pages=STEP, progress=partial(_progress, tell) if tell else None)
        sync(part)
        part.replace(target)
        sync(target.parent)


def _progress(tell: Told, _: int, remaining: int, total: int) -> None:
    tell(total - remaining, total)


def _connect(part: Path) -> sqlite3.Connection:
    """What is broken off is thrown away, and what is not is synced at its end."""
    connection = sqlite3.connect(f"{part.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
    return connection


@contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _written(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_full(target, error):
            raise Unavailable(f"{target} {FULL}") from error
        raise


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A file beside the target that is nobody else's; gone afterwards, unless it has got its name. Raises
    `Unusable`."""
    part = _part(target)
    with told(target):
        file = _create(part)
    try:
        yield part
    finally:
        with suppress(OSError):
            if os.fstat(file).st_ino == part.stat().st_ino:
                part.unlink()
        os.close(file)


def _create(part: Path) -> int:
    """Locked for as long as it is open. One that a killed process left is replaced."""
    with suppress(FileNotFoundError):
        _remove_left(part)
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _lock(file, part)
        if os.fstat(file).st_ino != part.stat().st_ino:
            raise Unusable(f"Another copy to {part} is under way.")
    except BaseException:
        os.close(file)
        raise
    return file


def _remove_left(part: Path) -> None:
    file = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _lock(file, part)
        if any(os.pread(file, HEADER, 0)) and not _is_chat(part):
            raise Unusable(f"{part} is in the way, and is no copy that was broken off: remove it.")
        part.unlink()
    finally:
        os.close(file)


def _lock(file: int, part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unusable(f"Another copy to {part} is under way.") from None
