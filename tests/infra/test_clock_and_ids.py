"""Time that is not set back, and ids that sort by it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from chat.infra import clock
from chat.infra.clock import SystemClock
from chat.infra.ids import TimedIds


def test_times_are_rfc_3339_in_utc_with_microseconds_and_sort_as_text() -> None:
    here = SystemClock()
    times = [here.now() for _ in range(1_000)]
    assert times == sorted(times)
    assert all(len(time) == len("2026-01-31T12:00:00.000000Z") and time.endswith("Z") for time in times)
    assert abs(datetime.fromisoformat(times[0]) - datetime.now(UTC)) < timedelta(seconds=5)
    assert here.seconds() <= here.seconds()


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(days=-365), timedelta(hours=-1)])
def test_a_jump_of_the_machines_clock_is_logged_once_and_ignored(
    monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    here = SystemClock()
    before = here.now()

    told = time.time
    monkeypatch.setattr(time, "time", lambda: told() + jump.total_seconds())
    with structlog.testing.capture_logs() as logs:
        times = [here.now() for _ in range(10)]
    assert before <= times[0] <= times[-1]
    assert datetime.fromisoformat(times[-1]) - datetime.fromisoformat(before) < timedelta(seconds=5)
    assert [line["event"] for line in logs] == ["the machine's clock jumped; its jump is ignored until a restart"]
    assert abs(logs[0]["seconds"] - jump.total_seconds()) < 5
    monkeypatch.setattr(time, "time", told)
    with structlog.testing.capture_logs() as logs:
        here.now()
    assert logs == []


def test_time_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    here = SystemClock()
    before = datetime.fromisoformat(here.now())
    told = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: told(which) + (3_600 if which == clock.SLEEPLESS else 0))
    after = datetime.fromisoformat(here.now())
    assert timedelta(hours=1) <= after - before < timedelta(hours=1, seconds=5)


def test_ids_are_new_and_sort_by_when_they_were_made() -> None:
    source = TimedIds()
    made = [source.fresh() for _ in range(100_000)]
    assert made == sorted(set(made))
    assert all(len(name) == 23 and set(name) <= set("0123456789abcdef") for name in made)


def test_two_processes_make_no_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_800_000_000_000_000_000)
    one, two = TimedIds(), TimedIds()
    assert not {one.fresh() for _ in range(1_000)} & {two.fresh() for _ in range(1_000)}


def test_no_id_tells_the_next_one() -> None:
    source = TimedIds()
    assert len({source.fresh()[-9:] for _ in range(10_000)}) > 9_990


def test_ids_sort_though_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TimedIds()
    before = source.fresh()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    after = [source.fresh() for _ in range(10_000)]
    assert [before, *after] == sorted({before, *after})
