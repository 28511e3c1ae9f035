"""Ids that sort by time, that no two nodes share and that nobody guesses: milliseconds, a number, and chance."""

import os
import time
from typing import Final

NUMBERS: Final = 12  # bits of the number within a millisecond
CHANCE: Final = 9  # random characters of each id
AHEAD: Final = 1_024  # ids that chance is fetched for at once


class TimedIds:
    """23 characters of hexadecimal: 11 of time, 3 of a number, 9 that are random. A clock that is set back is waited
    for: until then the number goes on, and borrows from the time when it is used up.
    """

    def __init__(self) -> None:
        self._last = 0
        self._chance = ""
        self._at = 0

    def fresh(self) -> str:
        self._last = max(time.time_ns() // 1_000_000 << NUMBERS, self._last + 1)
        if self._at == len(self._chance):
            self._chance, self._at = os.urandom(AHEAD * CHANCE // 2).hex(), 0
        start, self._at = self._at, self._at + CHANCE
        return f"{self._last:014x}{self._chance[start : self._at]}"
