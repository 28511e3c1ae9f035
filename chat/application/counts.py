"""What the flow counts in passing, for monitors: plain numbers, because a metric's own class would cost as much as the
deed that it counts. `chat.application.metrics` shows them when somebody asks.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from math import inf
from typing import Final

from chat.domain.errors import Refused, StoreError

LOOK: Final = 0.25  # seconds between two looks at how late the event loop is

Deeds = Counter[tuple[type, str]]  # commands or queries by their type and what became of them


class Histogram:
    """How many values lie in which range. A bound belongs to the range below it."""

    def __init__(self, *bounds: float) -> None:
        self.sum = 0.0
        self._bounds = (*bounds, inf)
        self._counts = [0] * len(self._bounds)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def upto(self) -> list[tuple[float, int]]:
        """Each bound, and how many values do not exceed it."""
        return list(zip(self._bounds, accumulate(self._counts), strict=True))


def code_of(error: Exception) -> str:
    """The code that the doors answer with."""
    if isinstance(error, Refused):
        return error.code
    return "unavailable" if isinstance(error, StoreError) else "internal"


@contextmanager
def counting_failures(deeds: Deeds, kind: type) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        deeds[kind, code_of(error)] += 1
        raise


async def watch_lag(lags: Histogram) -> None:
    """How late this wakes is how long whoever is ready has to wait for the event loop. Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK
        await asyncio.sleep(LOOK)
        lags.observe(max(0.0, loop.time() - due))


class Counts:
    """Of one node, since it was made."""

    def __init__(self) -> None:
        self.turns = 0
        self.batches = Histogram(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # commands of a turn
        self.commits = Histogram(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)  # seconds
        self.lags = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)  # seconds, of the loop
        self.commands: Deeds = Counter()
        self.queries: Deeds = Counter()
        self.resumes = 0
        self.resets: Counter[str] = Counter()  # rooms that a resume could not bring up to date, by the reason told
        self.turned_away: Counter[str] = Counter()  # handshakes without a hello, by the refusal's code
