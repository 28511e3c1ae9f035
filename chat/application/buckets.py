"""Token buckets by name, of accounts or of addresses; whoever rested longest is forgotten first."""

from collections import OrderedDict
from math import ceil
from typing import Final

from chat.application.ports import Clock
from chat.domain.errors import Refused
from chat.logic.rates import Bucket, Rate, full, take

REMEMBERED: Final = 20_000


class Buckets:
    def __init__(self, rate: Rate, clock: Clock) -> None:
        self.rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def look(self, name: str) -> Bucket:
        return self._buckets.get(name) or full(self.rate, self._clock.seconds())

    def put(self, name: str, bucket: Bucket) -> None:
        self._buckets[name] = bucket
        self._buckets.move_to_end(name)
        if len(self._buckets) > REMEMBERED:  # its bucket is full again, or nearly
            self._buckets.popitem(last=False)

    def take(self, name: str, cost: float = 1) -> float:
        """Seconds to wait first; 0 when it was taken."""
        if not self.rate.rate:
            return 0.0
        bucket, wait = take(self.look(name), self.rate, self._clock.seconds(), cost)
        self.put(name, bucket)
        return wait

    def spend(self, name: str, cost: float = 1) -> None:
        """Raises `Refused` `too_fast`."""
        if wait := self.take(name, cost):
            raise too_fast(wait)

    def forget(self, name: str) -> None:
        """As if it had rested."""
        self._buckets.pop(name, None)


def too_fast(wait: float) -> Refused:
    """Whoever waits as long as told may."""
    return Refused("too_fast", retry_after=ceil(1_000 * wait) / 1_000)
