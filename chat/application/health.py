"""Whether this node should get traffic, and what it does by itself to find out.

After trouble with a turn it tries the store until that takes writes again, since nobody may be sending meanwhile.
"""

import asyncio
from contextlib import suppress
from math import inf
from typing import Final

from chat.application.follower import Follower
from chat.application.ports import Clock, Store
from chat.application.turn import Turns
from chat.domain.errors import Refused, StoreError

PROBE: Final = 1.0  # seconds between two tries of a store that did not take a turn
GOOD_FOR: Final = 0.5  # seconds that a look at the store is good for
BEHIND: Final = 30.0  # seconds without a look at the log


class Health:
    def __init__(self, turns: Turns, follower: Follower, store: Store, clock: Clock) -> None:
        self._turns = turns
        self._follower = follower
        self._store = store
        self._clock = clock
        self._found = False  # that the store can be read, when it was looked at last
        self._found_at = -inf
        self._looking = asyncio.Lock()

    async def probe(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(PROBE)
            if self._turns.in_trouble:
                with suppress(StoreError):
                    await self._turns.probe()

    async def check(self) -> None:
        """Raises `Refused` `unavailable` with what is wrong."""
        if self._turns.in_trouble:
            raise _unavailable("The store takes nothing new.")
        if self._follower.unseen_for > BEHIND:
            raise _unavailable("This node does not know what is new.")
        if not await self._can_read():
            raise _unavailable("The store cannot be used.")

    async def _can_read(self) -> bool:
        """However many ask, the store is asked once in a while."""
        async with self._looking:
            if self._clock.seconds() - self._found_at > GOOD_FOR:
                self._found = await self._look()
                self._found_at = self._clock.seconds()
            return self._found

    async def _look(self) -> bool:
        try:
            await self._store.read_info()
        except StoreError:
            return False
        return True


def _unavailable(detail: str) -> Refused:
    return Refused("unavailable", detail, retry_after=1.0)
