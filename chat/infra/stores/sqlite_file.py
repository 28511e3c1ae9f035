"""The file as the system sees it: who may have it open, and in words for people, why it cannot be.

One process has the file open for writing: it holds a lock on a file beside it, `<file>-lock`, for as long as it runs.
(A lock on the file itself would not do: to open and close it once more in this process lets go of SQLite's own.)
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Final

from chat.domain.errors import Unusable

PAGE_SIZE_AT: Final = 16  # in the header, where two bytes tell it
HEADER: Final = 100  # bytes

PERMISSIONS: Final = "check the permissions of the file and its directory"
BY_CODE: Final = {
    sqlite3.SQLITE_NOTADB: "is no database, or its beginning is damaged: restore a backup, or use another file.",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup.",
    sqlite3.SQLITE_READONLY: f"cannot be written to: {PERMISSIONS}.",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened: {PERMISSIONS}, and whether the file system is read-only.",
    sqlite3.SQLITE_PERM: f"cannot be opened: {PERMISSIONS}.",
    sqlite3.SQLITE_BUSY: "is in use by another program: stop it first.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the system reports an I/O error; look after the disk.",
}
BY_NUMBER: Final = {
    errno.ENOENT: "does not exist.",
    errno.EACCES: f"cannot be opened for writing: Permission denied; {PERMISSIONS}.",
    errno.EROFS: "cannot be opened for writing: Read-only file system.",
    errno.ENOTDIR: "cannot be: a part of this path is no directory.",
    errno.EIO: BY_CODE[sqlite3.SQLITE_IOERR],
}
FULL: Final = "cannot be written to: the disk is full; make room."


def sentence(path: Path, error: BaseException | None) -> str:
    """Why the file cannot be opened, for people."""
    if is_full(path, error):
        return f"{path} {FULL}"
    if isinstance(error, OSError):
        return f"{path} {BY_NUMBER.get(error.errno or 0, f'cannot be opened for writing: {error.strerror}.')}"
    if not is_there(path):
        return f"{path} {BY_NUMBER[errno.ENOENT]}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details
    return f"{path} {BY_CODE.get(code, f'cannot be opened: {error}.')}"


def is_full(path: Path, error: BaseException | None) -> bool:
    """SQLite itself says so of some files only, and of others that there was an error."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not _has_room(path.parent))


def _has_room(directory: Path) -> bool:
    try:
        return os.statvfs(directory).f_bavail > 0
    except OSError:  # there is other trouble
        return True


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say what the system said, or SQLite. Raises `Unusable`."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "errno", 0) == errno.ENOENT and not is_there(path.parent):
            raise Unusable(f"The directory {path.parent} does not exist: create it, or use another file.") from error
        raise Unusable(sentence(path, error)) from error


def real(path: Path) -> Path:
    """SQLite follows a link to the file, and has what belongs to it beside the real one."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def is_there(path: Path) -> bool:
    """A file behind a directory that one may not look into counts as there."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def check(path: Path, *, create: bool = False) -> None:
    """Whether this can be a database at all. With `create` it may be missing. For the time before this process has it
    open. Raises `Unusable`."""
    with told(path):
        if _has_log(path) and not (is_there(path) and path.stat().st_size):  # SQLite would remove it
            raise Unusable(f"{path} is empty, and {path.name}-wal is not: restore a backup, or move that away.")
        if create and not is_there(path):
            return
        found = path.stat()
        if not S_ISREG(found.st_mode):
            raise Unusable(f"{path} is {'a directory' if path.is_dir() else 'no file'}: name a file.")
        if os.access(path, os.R_OK) and not _is_whole(path, found.st_size):
            raise Unusable(f"{path} {BY_CODE[sqlite3.SQLITE_CORRUPT]}")


def _has_log(path: Path) -> bool:
    wal = Path(f"{path}-wal")
    return is_there(wal) and wal.stat().st_size > 0


def _is_whole(path: Path, size: int) -> bool:
    """It ends with a page. What is not in its place yet, after a crash, is in the write-ahead log."""
    if not size or _has_log(path):
        return True
    with path.open("rb") as file:
        header = file.read(HEADER)
    page = int.from_bytes(header[PAGE_SIZE_AT : PAGE_SIZE_AT + 2], "big")
    page = 65_536 if page == 1 else page
    return not header.startswith(b"SQLite format 3\0") or (page >= 512 and size % page == 0)


def sync(path: Path) -> None:
    """A file's content, or a directory's names, are on the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Claim:
    """The file is this process's, and there, until `release`. For the time before this process has it open. Raises
    `Unusable`."""

    def __init__(self, path: Path) -> None:
        with told(path):
            self._lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with told(path):
                self._take(path)
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
