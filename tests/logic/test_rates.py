"""Token buckets: how often somebody may do something."""

import pytest

from chat.logic.rates import OWN_TRIES, SHARED_TRIES, Bucket, Rate, full, give_back, take, try_password

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


def test_what_was_not_done_is_given_back_and_no_more() -> None:
    assert give_back(Bucket(38.5, 1), TWENTY) == Bucket(39.5, 1)
    assert give_back(Bucket(39.5, 1), TWENTY) == Bucket(40, 1)


def test_a_deed_may_cost_more_than_another() -> None:
    assert take(Bucket(30, 0), TWENTY, 0, 25) == (Bucket(5, 0), 0.0)
    assert take(Bucket(5, 0), TWENTY, 0, 25) == (Bucket(5, 0), 1.0)


def test_what_costs_more_than_a_bucket_holds_takes_a_full_one() -> None:
    assert take(full(TWENTY, 0), TWENTY, 0, 1_000) == (Bucket(0, 0), 0.0)
    assert take(Bucket(0, 0), TWENTY, 0, 1_000) == (Bucket(0, 0), 2.0)


class Guessing:
    """Log-ins at one account, from several addresses."""

    def __init__(self) -> None:
        self.own: dict[str, Bucket] = {}
        self.shared = full(SHARED_TRIES, 0)

    def wait(self, address: str, now: float = 0) -> float:
        own = self.own.get(address, full(OWN_TRIES, now))
        self.own[address], self.shared, wait = try_password(own, self.shared, now)
        return wait


def test_who_guesses_alone_has_its_own_tries_and_all_the_shared_ones() -> None:
    guessing = Guessing()
    assert [guessing.wait("there") for _ in range(26)] == [0.0] * 23 + [5.0] * 3


def test_many_who_guess_share_what_is_beyond_their_own() -> None:
    guessing = Guessing()
    allowed = sum(guessing.wait(f"place {index % 100}") == 0 for index in range(10_000))
    assert allowed == 100 * 3 + 20
    assert sum(guessing.wait(f"place {index % 100}", 30.0) == 0 for index in range(10_000)) == 6


def test_nobody_is_kept_out_by_those_who_guess_elsewhere() -> None:
    guessing = Guessing()
    for index in range(600):
        guessing.wait(f"place {index % 100}")
    assert guessing.wait("place 1")
    assert [guessing.wait("home") for _ in range(3)] == [0.0] * 3
    assert guessing.wait("home", 300.0) == 0.0


def test_the_wait_is_the_shorter_of_the_two() -> None:
    empty = Bucket(0, 0)
    assert try_password(empty, empty, 0)[2] == 5.0
    assert try_password(Bucket(0.99, 0), empty, 0)[2] == pytest.approx(3.0)
