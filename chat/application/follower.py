"""Keeps a node at the head of the log, whoever writes it.

News from other nodes usually come by the broker. What it loses is found here: the log is looked at every POLL seconds,
more often while the broker is away, and at once when somebody says that the cursor may be behind. So is what must stop
a node: a log that a newer version has taken over, or that is not the one it has told of.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from chat.application.codec import FORMAT, Codec
from chat.application.cursor import Cursor
from chat.application.ports import Clock, Hub, Store
from chat.domain.errors import Refused, StoreError, Unavailable
from chat.domain.log import TAIL, LogInfo
from chat.logic.websocket import RESTARTING, come_back_in

POLL: Final = 5.0  # seconds between two looks at the log for what nobody told
ALONE: Final = 1.0  # the same, while no news can come, or when the last look failed
UNFINISHED: Final = "copying:"  # how the epoch of a database begins that is being copied into
FAR: Final = 20_000  # events behind the head that nobody is told one by one

log = structlog.get_logger(__name__)


class Outdated(Exception):
    """A newer version has raised the log to a format that this one does not know: this node has to go."""


class Follower:
    """`is_alone` tells whether news are lost just now; `fresh_epoch` names another history."""

    def __init__(
        self,
        cursor: Cursor,
        codec: Codec,
        store: Store,
        hub: Hub,
        clock: Clock,
        is_alone: Callable[[], bool],
        fresh_epoch: Callable[[], str],
    ) -> None:
        self._cursor = cursor
        self._codec = codec
        self._store = store
        self._hub = hub
        self._clock = clock
        self._is_alone = is_alone
        self._fresh_epoch = fresh_epoch
        self._looked_at = clock.seconds()
        self._is_blind = False

    @property
    def unseen_for(self) -> float:
        """Seconds since the log was looked at."""
        return self._clock.seconds() - self._looked_at

    async def run(self) -> None:
        """Until cancelled. Raises `Outdated`."""
        while True:
            await self._rest()
            self._cursor.behind.clear()
            if not await self._has_looked():
                await asyncio.sleep(ALONE)
                self._cursor.behind.set()

    async def _rest(self) -> None:
        """Until somebody says that there may be news, or it is time to look: sooner as soon as none can come."""
        for _ in range(max(1, int(POLL / ALONE))):
            with suppress(TimeoutError):
                async with asyncio.timeout(min(ALONE, POLL)):
                    await self._cursor.behind.wait()
                return
            if self._is_alone():
                return

    async def _has_looked(self) -> bool:
        """Raises `Outdated`."""
        try:
            await self.look()
        except StoreError as error:
            self._warn(error)
            return False
        except Outdated:
            raise
        except Exception:  # it is damaged: this node is behind until it can be read
            log.exception("the log cannot be read")
            return False
        self._looked_at = self._clock.seconds()
        self._is_blind = False
        return True

    def _warn(self, error: StoreError) -> None:
        """Once, until it can be read again."""
        if not self._is_blind:
            log.warning("the log cannot be read", error=str(error))
        self._is_blind = True

    async def look(self) -> None:
        """Go to the head of the log. Raises `Outdated`, or a `StoreError`."""
        before = self._cursor.position
        info = await self._store.read_info()
        must_be_known(info)
        if info.epoch.startswith(UNFINISHED):
            raise Unavailable("something is being copied into this database")
        if info.epoch != self._cursor.epoch:
            self._start_over(info, "the log is of another history now")
        elif info.head < before:
            await self._forsake(info)
        elif info.head - self._cursor.position > FAR:
            self._start_over(info, "this node is too far behind to tell what it missed")
        else:
            await self.catch_up()

    async def keep_up(self) -> None:
        """With what somebody may have done by another node a moment ago. Raises `Refused` `unavailable`."""
        try:
            await self._cursor.reach_written((await self._store.read_info()).head)
        except StoreError:
            raise Refused("unavailable", retry_after=1.0) from None

    async def catch_up(self) -> None:
        """Read the log up to its head, page by page, outside the lock."""
        while rows := await self._store.read_log(self._cursor.position, TAIL):
            self._cursor.take_in([self._codec.entry(row) for row in rows])

    def must_be_followed(self, info: LogInfo) -> None:
        """A turn may only be decided on the log that this node knows. Raises `Outdated`, `Unavailable`."""
        must_be_known(info)
        if info.epoch != self._cursor.epoch or info.head < self._cursor.position:
            raise Unavailable("the log is not the one that was followed")

    async def _forsake(self, info: LogInfo) -> None:
        """What was told lies beyond the end: an older log was put in its place, and goes on as a history of its own."""
        epoch = self._fresh_epoch()
        await self._store.write_epoch(epoch)
        self._start_over(info._replace(epoch=epoch), "the log ends before what was told: an older one is in its place")

    def _start_over(self, info: LogInfo, why: str) -> None:
        """Whoever is connected comes back and resumes."""
        sockets = list(self._hub.sockets())
        log.warning(why, position=self._cursor.position, head=info.head, sockets=len(sockets))
        self._cursor.jump(info)
        for index, socket in enumerate(sockets):
            socket.hang_up(RESTARTING, str(come_back_in(index, len(sockets))))


def must_be_known(info: LogInfo) -> None:
    """Raises `Outdated`."""
    if info.format > FORMAT:
        raise Outdated
