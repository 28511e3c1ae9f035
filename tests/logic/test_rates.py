"""Token buckets: how often somebody may do something."""

from chat.logic.rates import Bucket, Rate, full, take

TWENTY = Rate(20, 40)


def takes(bucket: Bucket, rate: Rate, now: float, times: int) -> tuple[Bucket, list[float]]:
    waits = []
    for _ in range(times):
        bucket, wait = take(bucket, rate, now)
        waits.append(wait)
    return bucket, waits


def test_a_full_bucket_allows_a_burst_and_no_more() -> None:
    bucket, waits = takes(full(TWENTY, 0), TWENTY, 0, 41)
    assert waits == [0.0] * 40 + [1 / 20]
    assert bucket == Bucket(0, 0)


def test_an_empty_bucket_fills_with_time() -> None:
    assert take(Bucket(0, 10.0), TWENTY, 10.5) == (Bucket(9, 10.5), 0.0)
    assert take(Bucket(0, 8.0), Rate(4, 8), 8.125) == (Bucket(0.5, 8.125), 0.125)


def test_whoever_waits_as_long_as_told_may() -> None:
    bucket, wait = take(Bucket(0.25, 0), Rate(4, 8), 0)
    assert take(bucket, Rate(4, 8), wait)[1] == 0.0


def test_asking_too_often_does_not_make_the_wait_longer() -> None:
    bucket, waits = takes(Bucket(0, 0), TWENTY, 0, 1_000)
    assert (bucket, set(waits)) == (Bucket(0, 0), {1 / 20})


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    assert take(Bucket(40, 0), TWENTY, 1_000_000) == (Bucket(39, 1_000_000), 0.0)


def test_a_rate_of_nothing_lifts_the_limit() -> None:
    assert take(Bucket(0, 0), Rate(0, 0), 0) == (Bucket(0, 0), 0.0)
