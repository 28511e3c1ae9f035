"""The load finds what it is meant to find, and the benchmarks that are run by hand still run."""

from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.load import NoCompiler, compile_load
from tests.bench.place import Place
from tests.bench.workloads import WORKLOADS, Workload, check_page, check_talk

SOUND = {
    "open": 2,
    "sent": 5,
    "acknowledged": 5,
    "logged": 5,
    "heard": 10,
    **dict.fromkeys(("refused", "closed", "disordered", "behind"), 0),
}


@pytest.mark.requires("cc")
def test_everybody_hears_everything_once_and_in_order(tmp_path: Path) -> None:
    place = Place(tmp_path, compile_load(tmp_path), accounts=5, rooms=1, members=5, messages=10)
    with place.serving() as asker:
        told = place.load(asker.room()).talk(sockets=5, senders=3, window=4, seconds=0.5, warm=0.1)
        check_page(asker.ask("list_messages", room=asker.room(), limit=20), 20)
        with place.load("none").idle(5) as idle:
            assert idle["open"] == 5
    check_talk(told, 5)
    assert told["sent"] > 12


@pytest.mark.parametrize(
    "wrong",
    [
        {"disordered": 1},
        {"closed": 1},
        {"refused": 1},
        {"behind": 1},
        {"open": 1},
        {"acknowledged": 4},
        {"logged": 6},
        {"heard": 9},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_lost_doubled_or_out_of_order_is_wrong(wrong: dict[str, int]) -> None:
    check_talk(SOUND, 2)
    with pytest.raises(AssertionError):
        check_talk(SOUND | wrong, 2)


def test_a_page_with_a_gap_is_wrong() -> None:
    check_page({"messages": [{"seq": 4}, {"seq": 5}]}, 2)
    with pytest.raises(AssertionError):
        check_page({"messages": [{"seq": 4}, {"seq": 6}]}, 2)


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompiler, match="apt-get install gcc"):
        compile_load(tmp_path)


def test_what_is_wrong_stands_in_place_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Path, __: Path) -> dict[str, float]:
        raise AssertionError("one was lost")

    monkeypatch.setattr(bench, "compile_load", lambda folder: folder)
    monkeypatch.setitem(WORKLOADS, "broken", Workload("breaks", breaks))
    assert bench.measure(["broken"], tmp_path, quiet=True) == {"broken": "AssertionError: one was lost"}
