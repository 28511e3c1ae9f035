"""Long work says how far it is: in place where somebody looks on, else in few lines."""

import io

import pytest

from chat.application.maintenance import progress
from chat.application.maintenance.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BAR_PAUSE", 0.0)
    monkeypatch.setattr(progress, "LINE_PAUSE", 0.0)


def test_a_bar_is_drawn_in_one_line_and_gone_at_the_end() -> None:
    out = Terminal()
    with Progress("events", 2_000, out) as drawn:
        drawn.at(1_000)
    assert "[###############...............] 1,000 of 2,000 events" in out.getvalue()
    assert "\n" not in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_elsewhere_each_tenth_is_a_line() -> None:
    out = io.StringIO()
    with Progress("events", 2_000, out) as told:
        for done in range(0, 2_001, 100):
            told.at(done)
    assert [line.partition(" after")[0] for line in out.getvalue().splitlines()] == [
        f"events: {tenth}0%" for tenth in range(1, 11)
    ]


def test_quick_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_PAUSE", 60.0)
    out = io.StringIO()
    with Progress("events", 2, out) as told:
        told.at(1)
        told.at(2)
    assert out.getvalue() == ""


def test_nothing_to_do_is_no_trouble() -> None:
    with Progress("events", 0, Terminal()) as told:
        told.at(0)
