"""The one cursor of a node: the position up to which it has taken in the log, and which log that is.

A turn of its own, the tail read under the lock, the doorbell and the poll all hand what they have to `take_in`. It
drops what is at or before the cursor, refuses to jump, and otherwise folds the events into the cached states and
tells the sockets, in order. Nothing else touches either, so all cases of order and repetition are settled here.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from chat.application.cache import Cache
from chat.domain.errors import Unavailable
from chat.domain.log import Entry, LogInfo
from chat.logic.mediator import Version

log = structlog.get_logger(__name__)

SOON: Final = 0.05  # seconds for what was committed to be told, before it is read
PATIENCE: Final = 3.0  # seconds for it to be read


class Gap(Exception):
    """Events between the cursor and these are not here: read the log."""


class Teller(Protocol):
    """Whoever has to hear of every event, in order."""

    def tell(self, entries: Sequence[Entry]) -> None: ...


class Cursor:
    def __init__(self, cache: Cache, teller: Teller, position: int = 0) -> None:
        self.position = position
        self.epoch = ""
        self.jumps = 0
        self.landed = position  # where the last jump ended
        self.behind = asyncio.Event()  # the log may hold more: read it
        self._cache = cache
        self._teller = teller
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._listening: list[list[Entry]] = []

    def take_in(self, entries: Sequence[Entry], settled: Mapping[str, Version] | None = None) -> None:
        """Go on to the last of `entries`. `settled` is what they fold to, where a turn has folded them already.

        Raises `Gap` when the first does not follow the cursor.
        """
        news = [entry for entry in entries if entry.position > self.position]
        if not news:
            return
        if news[0].position != self.position + 1:
            raise Gap
        self.position = news[-1].position
        if settled is None:
            self._fold(news)
        else:
            for key, version in settled.items():
                self._cache.settle(key, version, self.position)
        self._cache.trim()
        self._teller.tell(news)
        for heard in self._listening:
            heard.extend(news)
        self._wake()

    def _fold(self, news: Sequence[Entry]) -> None:
        """What breaks on an event must not keep it from those who have to hear of it: the states are loaded anew."""
        try:
            for entry in news:
                self._cache.fold(entry)
        except Exception:
            log.exception("an event cannot be folded")
            self._cache.clear()

    async def reach(self, position: int) -> None:
        """Wait until the cursor is at `position` or beyond, or was sent elsewhere."""
        if self.position >= position:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((position, future))
        try:
            await future
        except asyncio.CancelledError:
            self._waiting = [each for each in self._waiting if each[1] is not future]
            raise

    async def reach_written(self, position: int) -> None:
        """The same of a position that the log has: if nobody tells what is there, it is read. Raises `Unavailable`."""
        timer = asyncio.get_running_loop().call_later(SOON, self.behind.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await self.reach(position)
        except TimeoutError:
            raise Unavailable("the log cannot be followed") from None
        finally:
            timer.cancel()

    def jump(self, info: LogInfo) -> None:
        """Go on at the end of this log, and tell nobody what lies between. No state at hand is of it."""
        self.epoch = info.epoch
        self.position = self.landed = info.head
        self.jumps += 1
        self._cache.clear()
        self._wake(of_any_position=True)

    @contextmanager
    def meanwhile(self) -> Iterator[list[Entry]]:
        """A list of what is taken in from now on; for whoever reads the store, which may be behind or ahead."""
        heard: list[Entry] = []
        self._listening.append(heard)
        try:
            yield heard
        finally:
            self._listening = [other for other in self._listening if other is not heard]

    def _wake(self, *, of_any_position: bool = False) -> None:
        if not self._waiting:
            return
        for position, future in self._waiting:
            if (of_any_position or position <= self.position) and not future.done():
                future.set_result(None)
        self._waiting = [(position, future) for position, future in self._waiting if not future.done()]
