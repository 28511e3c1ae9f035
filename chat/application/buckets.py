"""Token buckets by name, of accounts or of addresses; whoever rested longest is forgotten first."""

from typing import Final

from chat.application.ports import Clock
from chat.domain.errors import Refused
from chat.logic.rates import Bucket, Rate, full, take

REMEMBERED: Final = 20_000


class Buckets:
    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, name: str) -> None:
        """Raises `Refused` `too_fast`."""
        if not self._rate.rate:
            return
        now = self._clock.seconds()
        left = self._buckets.pop(name) if name in self._buckets else full(self._rate, now)
        self._buckets[name], wait = take(left, self._rate, now)
        if len(self._buckets) > REMEMBERED:  # its bucket is full again, or nearly
            del self._buckets[next(iter(self._buckets))]
        if wait:
            raise Refused("too_fast", retry_after=round(wait, 3))
