"""The write-ahead log, before anything is built on it. https://www.sqlite.org/fileformat2.html#the_write_ahead_log

SQLite takes from it what is whole, up to the first frame that is not, and drops the rest without a word. That is right
for a turn that a crash cut off, and wrong for damage in the middle: `check` tells them apart. And it takes what is in
the system's memory for what is on the disk: `settle` makes that true.

How far SQLite got stands in its index, `<file>-shm`. Whoever closes that file, however they opened it, lets go of every
lock that this process has on it; the next process to come then takes itself for the first, and empties the index under
those who use it. So it is looked at only while this process has no connection that stays. On the log itself SQLite has
no locks.
"""

import os
import sqlite3
import sys
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from struct import unpack, unpack_from
from typing import BinaryIO, Final, NamedTuple

from chat.domain.errors import Unusable

HEADER: Final = 32  # bytes
FRAME_HEADER: Final = 24
LITTLE_ENDIAN: Final = 0x377F0682  # or one more
PAGES: Final = {2**power for power in range(9, 17)}  # their sizes
VALID_AT: Final = 16  # in the index, where four bytes of the machine's order tell how many frames are valid
CHUNK: Final = 1024 * 1024

Sums = tuple[int, int]


class Frame(NamedTuple):
    commits: bool
    salts: bytes
    sums: Sums
    summed: bytes


def holds_anything(path: Path) -> bool:
    wal = Path(f"{path}-wal")
    return wal.exists() and wal.stat().st_size > HEADER


def index(path: Path) -> BinaryIO:
    """Made by a connection that reads. To be closed after it."""
    return Path(f"{path}-shm").open("rb")


def check(path: Path, index: BinaryIO) -> None:
    """While the connection that made the index is open. Raises `Unusable`."""
    wal = Path(f"{path}-wal")
    if _is_damaged(wal, _valid(index)):
        raise Unusable(
            f"{wal} is damaged, and with it what was written last: restore a backup."
            f" Without one, move {wal.name} away, then `verify` and `new-epoch`."
        )


def _is_damaged(wal: Path, valid: int) -> bool:
    with wal.open("rb") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or not any(header):  # never written to its end
            return False
        magic, _, page, *_ = unpack(">8I", header)
        little = magic == LITTLE_ENDIAN
        if magic not in (LITTLE_ENDIAN, LITTLE_ENDIAN + 1) or page not in PAGES:
            return True
        if sums((0, 0), header[:24], little) != _pair(header, 24):
            return True
        file.seek(HEADER + valid * (FRAME_HEADER + page))
        return _goes_on(_frames(file, page), header[16:24], little)


def _valid(index: BinaryIO) -> int:
    """None in an index that is only begun."""
    return int.from_bytes(index.read(VALID_AT + 4)[VALID_AT:], sys.byteorder)


def _goes_on(frames: Iterator[Frame], salts: bytes, little: bool) -> bool:
    """Behind what is valid stand the end of one turn and the beginning of the next, each whole in itself. A turn begins
    only when the one before is on the disk: what a crash or a failed write leaves never has that."""
    return any(
        end.commits and end.salts == next.salts == salts and sums(end.sums, next.summed, little) == next.sums
        for end, next in pairwise(frames)
    )


def _frames(file: BinaryIO, page: int) -> Iterator[Frame]:
    while len(frame := file.read(FRAME_HEADER + page)) == FRAME_HEADER + page:
        yield Frame(any(frame[4:8]), frame[8:16], _pair(frame, 16), frame[:8] + frame[FRAME_HEADER:])


def _pair(data: bytes, at: int) -> Sums:
    first, second = unpack_from(">2I", data, at)
    return first, second


def sums(before: Sums, data: bytes, little: bool) -> Sums:
    first, second = before
    words = array("I", data)
    if little != (array("I", b"\1\0\0\0")[0] == 1):
        words.byteswap()
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second


def settle(connection: sqlite3.Connection, path: Path) -> None:
    """What this connection counts as committed is on the disk, though its fsync may have failed or never come. A
    second fsync alone would not do: the system may hold for clean what it could not write. So it is written again,
    byte for byte, while nobody else writes. Raises `OSError`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        file = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            at = 0
            while chunk := os.pread(file, CHUNK, at):
                at += os.pwrite(file, chunk, at)
            os.fsync(file)
        finally:
            os.close(file)
    finally:
        connection.execute("ROLLBACK")
