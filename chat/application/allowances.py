"""What everybody is allowed: by account what is done in its name, by address what is done in nobody's."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from chat.application.buckets import REMEMBERED, Buckets, too_fast
from chat.application.ports import Clock
from chat.application.turnstile import Turnstile
from chat.domain.errors import Refused
from chat.logic.rates import (
    ASKING,
    GUESSES,
    MONITORS,
    OWN_TRIES,
    REQUESTS,
    SHARED_TRIES,
    STRANGERS,
    Rate,
    give_back,
    try_password,
)

HASHING: Final = 200  # passwords of one address that wait to be hashed, one after the other
LOOKUPS: Final = 1_000  # requests of one address that wait for the account that they name to be looked for
UNLIMITED: Final = Rate(0, 0)


class Allowances:
    """`rate` is in commands a second for each account; 0 lifts all limits."""

    def __init__(self, rate: float, clock: Clock) -> None:
        def limited(usual: Rate) -> Buckets:
            return Buckets(usual if rate else UNLIMITED, clock)

        burst = max(1, 2 * rate)
        self.commands = Buckets(Rate(rate, burst), clock)  # by account
        self.asking = Buckets(Rate(rate * ASKING, burst * ASKING), clock)  # by account: questions, hello, resume
        self.strangers = limited(STRANGERS)  # by address
        self.requests = limited(REQUESTS)  # by address
        self.hashes = limited(GUESSES)  # by address, or account
        self.monitors = limited(MONITORS)  # by address
        self.hashing = Turnstile(HASHING, limited=rate > 0)  # by address, or account
        self.lookups = Turnstile(LOOKUPS, limited=rate > 0)  # by address
        self.tries = Tries(self.hashes, clock) if rate else None


class Tries:
    """Passwords that are tried, of an account and from an address. Each also costs the address a hash, unless the
    account has been proved from there before: whoever guesses next door does not keep it out.
    """

    def __init__(self, hashes: Buckets, clock: Clock) -> None:
        self._own = Buckets(OWN_TRIES, clock)
        self._shared = Buckets(SHARED_TRIES, clock)
        self._hashes = hashes
        self._clock = clock
        self._proved: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._own) + len(self._shared) + len(self._proved)

    def spend(self, account: str, address: str) -> Callable[[], None]:
        """What takes it back, should nobody have learnt anything by it. Raises `Refused` `too_fast`."""
        pair = _pair(account, address)
        before = own, shared = self._own.look(pair), self._shared.look(account)
        own, shared, wait = try_password(*before, self._clock.seconds())
        self._own.put(pair, own)
        self._shared.put(account, shared)
        if wait:
            raise too_fast(wait)
        take_back = partial(self._take_back, pair, account, shared.level < before[1].level)
        if pair not in self._proved:
            try:
                self._hashes.spend(address)
            except Refused:
                take_back()
                raise
        return take_back

    def _take_back(self, pair: str, account: str, of_all: bool) -> None:
        bucket, name = (self._shared, account) if of_all else (self._own, pair)
        bucket.put(name, give_back(bucket.look(name), bucket.rate))

    def line(self, account: str, address: str) -> str:
        """Where it waits to be hashed: whoever has proved the account from here stands in a line of its own."""
        pair = _pair(account, address)
        return pair if pair in self._proved else address

    def prove(self, account: str, address: str) -> None:
        """Somebody at this address knows the password."""
        pair = _pair(account, address)
        self._proved[pair] = None
        self._proved.move_to_end(pair)
        if len(self._proved) > REMEMBERED:
            self._proved.popitem(last=False)


def _pair(account: str, address: str) -> str:
    return f"{address} {account}"
