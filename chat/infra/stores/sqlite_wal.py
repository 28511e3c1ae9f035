"""The write-ahead log, before anything is built on it. https://www.sqlite.org/fileformat2.html#the_write_ahead_log

SQLite takes from it what is whole, up to the first frame that is not, and drops the rest without a word. That is right
for a turn that a crash cut off, and wrong for damage in the middle: `check` tells them apart. And it takes what is in
the system's memory for what is on the disk: `settle` makes that true.
"""

import os
import sqlite3
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


def check(path: Path) -> None:
    """For a connection that has read, which makes the index. Raises `Unusable`."""
    wal = Path(f"{path}-wal")
    if _is_damaged(wal, Path(f"{path}-shm")):
        raise Unusable(
            f"{wal} is damaged, and with it what was written last: restore a backup."
            f" Without one, move {wal.name} away, then `verify` and `new-epoch`."
        )


def _is_damaged(wal: Path, index: Path) -> bool:
    with wal.open("rb") as file:
        header = file.read(HEADER)
        magic, _, page, *_ = unpack(">8I", header)
        little = magic == LITTLE_ENDIAN
        if not any(header):  # never written to its end
            return False
        if magic not in (LITTLE_ENDIAN, LITTLE_ENDIAN + 1) or sums((0, 0), header[:24], little) != _pair(header, 24):
            return True
        file.seek(HEADER + _valid(index) * (FRAME_HEADER + page))
        return _goes_on(_frames(file, page), header[16:24], little)


def _valid(index: Path) -> int:
    with index.open("rb") as file:
        found: int = unpack_from("=I", file.read(VALID_AT + 4), VALID_AT)[0]
    return found


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
