"""What the flow counts in passing: ranges, codes, and how late the event loop is."""

import asyncio
import time

import pytest

from chat.application import counts
from chat.application.counts import Histogram, code_of, watch_lag
from chat.domain.errors import Poisoned, Refused, Unavailable
from tests.application.fakes import until


def test_a_bound_belongs_to_the_range_below_it() -> None:
    spread = Histogram(1, 2)
    for value in (0, 1, 1.5, 2, 3):
        spread.observe(value)
    assert (spread.upto, spread.sum) == ([(1, 2), (2, 4), (float("inf"), 5)], 7.5)


def test_whatever_breaks_is_counted_as_the_code_that_is_told() -> None:
    assert [code_of(error) for error in (Refused("busy"), Unavailable(), Poisoned(), KeyError())] == [
        "busy",
        "unavailable",
        "unavailable",
        "internal",
    ]


async def test_an_event_loop_that_is_held_up_is_seen_to_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "LOOK", 0.01)
    lags = Histogram(0.05)
    watching = asyncio.create_task(watch_lag(lags))
    await until(lambda: lags.upto[-1][1] > 0)
    before, late = lags.sum, lags.upto[-1][1]
    time.sleep(0.1)  # noqa: ASYNC251 (that is the point)
    await until(lambda: lags.upto[-1][1] > late)
    watching.cancel()
    await asyncio.wait([watching])
    assert lags.sum - before > 0.05
