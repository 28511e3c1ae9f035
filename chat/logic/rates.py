"""Token buckets: how often somebody may do something.

A bucket holds `burst` tokens at most and gains `rate` of them a second; each deed takes one. A rate of 0 is no limit.
"""

from typing import Final, NamedTuple


class Rate(NamedTuple):
    """`rate` a second in the long run, `burst` at once."""

    rate: float
    burst: float


class Bucket(NamedTuple):
    """`level` tokens were left at the time `at`, in seconds of a clock that never goes back."""

    level: float
    at: float


ASKING: Final = 10  # questions that an account may ask for each command that it may send
STRANGERS: Final = Rate(50, 2_000)  # requests of one address in the name of nobody that is at hand
GUESSES: Final = Rate(1, 100)  # passwords tried or set, by one address or account: each costs a slow hash
OWN_TRIES: Final = Rate(1 / 60, 5)  # log-ins that fail, of one address at one account
SHARED_TRIES: Final = Rate(1 / 5, 20)  # of all addresses together at one account, beyond their own
TYPING: Final = Rate(1 / 3, 1)  # tellings that one account writes in one room
MALFORMED: Final = Rate(1, 20)  # frames of one socket that cannot be read; beyond them it is closed
CHATTER: Final = Rate(20, 100)  # frames of one socket that nobody answers to by an id, as typing is


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(rate.burst, now)


def take(bucket: Bucket, rate: Rate, now: float) -> tuple[Bucket, float]:
    """The bucket after one deed, and how many seconds to wait first: 0 when it may be done now."""
    if not rate.rate:
        return bucket, 0.0
    level = _level(bucket, rate, now)
    if level >= 1:
        return Bucket(level - 1, now), 0.0
    return Bucket(level, now), (1 - level) / rate.rate


def give_back(bucket: Bucket, rate: Rate) -> Bucket:
    """As if one deed had not been done."""
    return bucket._replace(level=min(rate.burst, bucket.level + 1))


def book(bucket: Bucket, rate: Rate, now: float, cost: float) -> tuple[Bucket, float]:
    """For what is not refused but put off: the tokens are taken at once, on credit where there are not enough, and the
    wait is until they would have been there.
    """
    if not rate.rate:
        return bucket, 0.0
    level = _level(bucket, rate, now) - cost
    return Bucket(level, now), max(0.0, -level / rate.rate)


def _level(bucket: Bucket, rate: Rate, now: float) -> float:
    return min(rate.burst, bucket.level + (now - bucket.at) * rate.rate)


def try_password(own: Bucket, shared: Bucket, now: float) -> tuple[Bucket, Bucket, float]:
    """Both after one log-in, and the wait. The first tries of an address at an account are its own; those that follow
    come out of one slow bucket, which all addresses share. So an account is not guessed at from a thousand places at a
    time, and nobody who does so keeps its owner out.
    """
    own, wait = take(own, OWN_TRIES, now)
    if not wait:
        return own, shared, 0.0
    shared, common = take(shared, SHARED_TRIES, now)
    return own, shared, min(wait, common)
