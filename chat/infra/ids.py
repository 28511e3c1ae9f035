"""Ids that sort by time and that no two nodes share: milliseconds, a number within the process, and its random part."""

import os
import time
from itertools import count
from typing import Final

DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"


def _base32(number: int, length: int) -> str:
    return "".join(DIGITS[(number >> (5 * place)) & 31] for place in reversed(range(length)))


class TimedIds:
    """20 characters: 9 of time, 4 of a count, 7 that are random for each process."""

    def __init__(self) -> None:
        self._counter = count()
        self._process = _base32(int.from_bytes(os.urandom(5)), 7)

    def fresh(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return _base32(milliseconds, 9) + _base32(next(self._counter), 4) + self._process
