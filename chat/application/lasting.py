"""What many want to know who come back together: it is read for the first of them, and kept for the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from chat.domain.log import Rows

KEPT: Final = 256  # of some 30 kB each at most; beside them what is being read, at most a few for each who asks

Each = Callable[[Any], Any]


class Asked(NamedTuple):
    """What is made `of_each` of these rows, in one history: another log in its place begins another."""

    history: int
    of_each: Each
    rows: Rows


class Place(NamedTuple):
    """Where among all that is read with it."""

    reading: asyncio.Task[list[Any]]
    number: int


class Lasting:
    """For rows that are never others: a description that is answered once is answered for ever."""

    def __init__(self, read: Callable[[Each, Sequence[Rows]], Awaitable[list[Any]]]) -> None:
        self._read = read
        self._kept: dict[Asked, Place] = {}  # the oldest first

    async def get(self, history: int, of_each: Each, rows: Sequence[Rows]) -> list[Any]:
        """One for each of the rows. The first who asked may be gone before it is read. Raises what reading does."""
        asked = [Asked(history, of_each, one) for one in rows]
        if missing := [one for one in asked if one not in self._kept]:
            reading = asyncio.create_task(self._read_all(missing))
            reading.add_done_callback(partial(self._tidy, missing))
            self._kept |= {one: Place(reading, number) for number, one in enumerate(missing)}
        places = [self._kept[one] for one in asked]
        return [(await asyncio.shield(reading))[number] for reading, number in places]

    async def _read_all(self, asked: Sequence[Asked]) -> list[Any]:
        return await self._read(asked[0].of_each, [one.rows for one in asked])

    def _tidy(self, asked: Sequence[Asked], reading: asyncio.Task[list[Any]]) -> None:
        """What was not read is asked again by the next. Whoever waits has hold of what is forgotten here."""
        if reading.cancelled() or reading.exception():
            for one in asked:
                self._kept.pop(one, None)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
