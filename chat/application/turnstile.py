"""One at a time for each name: whoever asks for much waits for itself, and not everybody else for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chat.domain.errors import Refused

WAITING: Final = 64  # of one name, if nothing else is said


class Turnstile:
    """Not `limited`, it lets everybody through."""

    def __init__(self, waiting: int = WAITING, *, limited: bool = True) -> None:
        self._waiting = waiting
        self._limited = limited
        self._locks: dict[str, asyncio.Lock] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """Names for which somebody waits or works."""
        return len(self._locks)

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Raises `Refused` `busy` when too many wait."""
        if not self._limited:
            yield
            return
        if self._counts[name] > self._waiting:
            raise Refused("busy", retry_after=1.0)
        self._counts[name] += 1
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name], self._locks[name]
