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


GUESSES: Final = Rate(1, 100)  # passwords tried or set, by one address or account: each costs a slow hash
MALFORMED: Final = Rate(1, 20)  # frames of one socket that cannot be read; beyond them it is closed
CHATTER: Final = Rate(20, 100)  # frames of one socket that nobody answers to by an id, as typing is


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(rate.burst, now)


def take(bucket: Bucket, rate: Rate, now: float) -> tuple[Bucket, float]:
    """The bucket after one deed, and how many seconds to wait first: 0 when it may be done now."""
    if not rate.rate:
        return bucket, 0.0
    level = min(rate.burst, bucket.level + (now - bucket.at) * rate.rate)
    if level >= 1:
        return Bucket(level - 1, now), 0.0
    return Bucket(level, now), (1 - level) / rate.rate
