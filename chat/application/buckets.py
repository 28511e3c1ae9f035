"""Token buckets by name, of accounts or of addresses; whoever rested longest is forgotten first."""

from typing import Final

from chat.application.ports import Clock
from chat.domain.errors import Refused
from chat.logic.rates import (
    ASKING,
    GUESSES,
    OWN_TRIES,
    SHARED_TRIES,
    STRANGERS,
    Bucket,
    Rate,
    book,
    full,
    give_back,
    take,
    try_password,
)

REMEMBERED: Final = 20_000
UNLIMITED: Final = Rate(0, 0)


class Buckets:
    def __init__(self, rate: Rate, clock: Clock) -> None:
        self.rate = rate
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def look(self, name: str, now: float) -> Bucket:
        return self._buckets.get(name) or full(self.rate, now)

    def put(self, name: str, bucket: Bucket) -> None:
        self._buckets.pop(name, None)
        self._buckets[name] = bucket
        if len(self._buckets) > REMEMBERED:  # its bucket is full again, or nearly
            del self._buckets[next(iter(self._buckets))]

    def take(self, name: str) -> float:
        """Seconds to wait first; 0 when it was taken."""
        if not self.rate.rate:
            return 0.0
        now = self._clock.seconds()
        bucket, wait = take(self.look(name, now), self.rate, now)
        self.put(name, bucket)
        return wait

    def spend(self, name: str) -> None:
        """Raises `Refused` `too_fast`."""
        if wait := self.take(name):
            raise Refused("too_fast", retry_after=round(wait, 3))

    def book(self, name: str, cost: float) -> float:
        """Seconds to wait, for what is not refused but put off."""
        if not self.rate.rate:
            return 0.0
        now = self._clock.seconds()
        bucket, wait = book(self.look(name, now), self.rate, now, cost)
        self.put(name, bucket)
        return wait

    def forget(self, name: str) -> None:
        """As if it had rested."""
        self._buckets.pop(name, None)


class Tries:
    """Log-ins that may fail, of an address at an account.."""

    def __init__(self, clock: Clock, *, limited: bool) -> None:
        self._clock = clock
        self._limited = limited
        self._own = Buckets(OWN_TRIES, clock)
        self._shared = Buckets(SHARED_TRIES, clock)

    def __len__(self) -> int:
        return len(self._own) + len(self._shared)

    def spend(self, account: str, address: str) -> None:
        """Raises `Refused` `too_fast`."""
        if not self._limited:
            return
        now = self._clock.seconds()
        pair = f"{address} {account}"
        own, shared, wait = try_password(self._own.look(pair, now), self._shared.look(account, now), now)
        self._own.put(pair, own)
        self._shared.put(account, shared)
        if wait:
            raise Refused("too_fast", retry_after=round(wait, 3))

    def give_back(self, account: str, address: str) -> None:
        """Nobody learnt anything."""
        pair = f"{address} {account}"
        self._own.put(pair, give_back(self._own.look(pair, self._clock.seconds()), OWN_TRIES))

    def succeed(self, account: str, address: str) -> None:
        """Whoever knows the password has not guessed."""
        self._own.forget(f"{address} {account}")


class Allowances:
    """Everybody's buckets. `rate` is in commands a second for each account; 0 lifts all limits."""

    def __init__(self, rate: float, clock: Clock) -> None:
        burst = max(1, 2 * rate)
        self.commands = Buckets(Rate(rate, burst), clock)  # by account
        self.questions = Buckets(Rate(rate * ASKING, burst * ASKING), clock)  # by account
        self.guesses = Buckets(GUESSES if rate else UNLIMITED, clock)  # by address, or account
        self.strangers = Buckets(STRANGERS if rate else UNLIMITED, clock)  # by address
        self.tries = Tries(clock, limited=rate > 0)
