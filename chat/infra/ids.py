"""Ids that sort by time and that no two nodes share: milliseconds, a number within the process, and its random part."""

import os
import time
from itertools import count


class TimedIds:
    """23 characters of hexadecimal: 11 of time, 5 of a count, 7 that are random for each process."""

    def __init__(self) -> None:
        self._counter = count()
        self._process = os.urandom(4).hex()[:7]

    def fresh(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return f"{milliseconds << 20 | next(self._counter) & 0xFFFFF:016x}{self._process}"
