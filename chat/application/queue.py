"""Commands that wait for the next turn: a line for each account, served round robin, so that nobody who floods keeps
the others waiting.

Beyond its bounds a sender is refused with `busy`. When few have filled all of it, whoever has nothing waiting still
gets one command in, up to twice as many.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chat.domain.errors import Refused
from chat.domain.vocabulary import Command

LINE: Final = 1_024  # commands of one account that wait
ALL: Final = 16_384


class Again(bytes):
    """An acknowledgement that was given before, to the same id."""


Outcome = bytes | Refused  # an acknowledgement as JSON, or why not


class Waiting(Struct, frozen=True):
    """A command, who wishes it by which session, and whom to tell what became of it."""

    command: Command
    actor: str
    session: str
    fresh: str
    reply: Callable[[Outcome], None]


class Queue:
    def __init__(self) -> None:
        self._lines: dict[str, deque[Waiting]] = {}
        self._length = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return self._length

    def put(self, waiting: Waiting) -> None:
        """Raises `Refused` when too much is waiting."""
        line = self._lines.get(waiting.actor)
        if self._length >= (ALL if line else 2 * ALL) or (line and len(line) >= LINE):
            raise Refused("busy", retry_after=1.0)
        if line is None:
            line = self._lines[waiting.actor] = deque()
        line.append(waiting)
        self._length += 1
        self._arrived.set()

    async def take(self, most: int) -> list[Waiting]:
        """Wait for a command, and take what has arrived, one of each account in turn."""
        await self._arrived.wait()
        batch: list[Waiting] = []
        while self._lines and len(batch) < most:
            account = next(iter(self._lines))
            line = self._lines.pop(account)
            batch.append(line.popleft())
            if line:
                self._lines[account] = line
        self._length -= len(batch)
        if not self._lines:
            self._arrived.clear()
        return batch
