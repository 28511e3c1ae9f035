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
STRANGERS: Final = Rate(50, 2_000)  # requests of one address in the name of an account that is not at hand
MONITORS: Final = Rate(50, 500)  # looks of one address at how the server is
REQUESTS: Final = Rate(500, 10_000)  # over HTTP, of one address; a page is some forty of them
GUESSES: Final = Rate(2, 200)  # passwords tried or set, by one address or account: each costs a slow hash
OWN_TRIES: Final = Rate(1 / 300, 3)  # log-ins that fail, of one address at one account
SHARED_TRIES: Final = Rate(1 / 5, 20)  # of all addresses together at one account, beyond their own
TYPING: Final = Rate(1 / 3, 1)  # tellings that one account writes in one room
MALFORMED: Final = Rate(1, 20)  # frames of one socket that cannot be read; beyond them it is closed
CHATTER: Final = Rate(20, 100)  # frames of one socket that nobody answers to by an id, as typing is


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(rate.burst, now)


def take(bucket: Bucket, rate: Rate, now: float, cost: float = 1) -> tuple[Bucket, float]:
    """The bucket after one deed, and how many seconds to wait first: 0 when it may be done now. One that costs more
    than a bucket holds takes a full one.
    """
    if not rate.rate:
        return bucket, 0.0
    level = min(rate.burst, bucket.level + (now - bucket.at) * rate.rate)
    cost = min(cost, rate.burst)
    if level >= cost:
        return Bucket(level - cost, now), 0.0
    return Bucket(level, now), (cost - level) / rate.rate


def give_back(bucket: Bucket, rate: Rate) -> Bucket:
    """As if one deed had not been done."""
    return bucket._replace(level=min(rate.burst, bucket.level + 1))


def try_password(own: Bucket, shared: Bucket, now: float) -> tuple[Bucket, Bucket, float]:
    """Both after one log-in, and the wait. The first few tries of an address at an account are its own; those that
    follow come out of one slow bucket, which all addresses share. So guessing from many places is little faster than
    from one, and nobody who does so keeps the account's owner out.
    """
    own, wait = take(own, OWN_TRIES, now)
    if not wait:
        return own, shared, 0.0
    shared, common = take(shared, SHARED_TRIES, now)
    return own, shared, min(wait, common)
