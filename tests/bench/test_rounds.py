"""Rounds, and the command line: who has a turn when, and what stands in place of figures."""

import json
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.figures import Figures, Measured, ratio
from tests.bench.ground import Ground, Pace
from tests.bench.machine import Missing
from tests.bench.report import as_json, from_json
from tests.bench.rounds import measure
from tests.bench.workloads import WORKLOADS, Entry, Workload


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, tmp_path / "cache", Pace(seconds=0.1, warm=0, share=1_000))


class Turns:
    """Entries that note their turns, and what was reported."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.reported: list[tuple[str, int]] = []

    def entry(self, name: str, error: BaseException | None = None) -> Entry:
        def work(_: Ground) -> Figures:
            self.taken.append(name)
            if error:
                raise error
            return {"messages_s": float(len(self.taken))}

        return Entry(name, work)

    def report(self, name: str, number: int, _: Measured) -> None:
        self.reported.append((name, number))


def test_in_each_round_everybody_has_a_turn(ground: Ground) -> None:
    turns = Turns()
    found = measure({name: turns.entry(name) for name in "xyz"}, ground, 2, turns.report)
    assert turns.taken == [*"xyzxyz"]
    assert turns.reported == [(name, number) for number in (0, 1) for name in "xyz"]
    assert [figures["messages_s"] for figures in found["y"].rounds.values()] == [2, 5]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (Missing("there is no npm"), Measured(missing="there is no npm")),
        (AssertionError("one was lost"), Measured(wrong="AssertionError: one was lost")),
    ],
    ids=["missing", "wrong"],
)
def test_what_is_missing_or_wrong_has_one_turn_and_the_rest_is_measured(
    ground: Ground, error: Exception, found: Measured
) -> None:
    turns = Turns()
    both = measure({"x": turns.entry("x", error), "y": turns.entry("y")}, ground, 2, turns.report)
    assert turns.taken == [*"xyy"]
    assert both["x"] == found
    assert len(both["y"].rounds) == 2


@pytest.mark.parametrize(("error", "status"), [(Missing("no npm"), 0), (AssertionError("lost"), 1), (None, 0)])
def test_the_status_tells_what_was_wrong_and_the_json_everything(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception | None,
    status: int,
) -> None:
    turns = Turns()
    entries = {"x": turns.entry("x"), "y": Turns().entry("y", error)}
    monkeypatch.setitem(WORKLOADS, "tried", Workload("tries", entries, ["messages_s"]))
    assert run(monkeypatch, "tried", "--json", "--rounds", "2") == status
    printed = capsys.readouterr().out
    told = json.loads(printed)["workloads"]["tried"]
    assert [len(each["rounds"]) for each in told.values()] == [2, 0 if error else 2]

    file = tmp_path / "figures.json"
    file.write_text(printed)
    assert run(monkeypatch, "--readme", str(file), str(file)) == 0
    assert re.search(r"\| x   \| +2 \(1–2\) \|", capsys.readouterr().out)


def test_saved_rounds_of_several_runs_count_together(tmp_path: Path) -> None:
    for number in (1, 2):
        floor = Measured({(0, 0): {"deliveries_s": float(number)}})
        memory = floor if number == 2 else Measured(missing="not yet")
        results = {"a": {"floor": floor, "memory": memory, "sqlite": Measured(wrong="lost")}}
        (tmp_path / f"{number}.json").write_text(as_json(results, {}, Pace()))
    _, results = from_json([tmp_path / "1.json", tmp_path / "2.json"])
    assert results["a"]["floor"].rounds == {(0, 0): {"deliveries_s": 1.0}, (1, 0): {"deliveries_s": 2.0}}
    assert results["a"]["memory"] == Measured({(1, 0): {"deliveries_s": 2.0}})
    assert results["a"]["sqlite"] == Measured(wrong="lost")
    assert ratio(results["a"]["floor"], results["a"]["memory"], "deliveries_s") == 1


def test_only_the_rows_that_are_named_are_measured_and_large_ones_when_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = Turns()
    entries = {name: turns.entry(name)._replace(large=name == "z") for name in "xyz"}
    monkeypatch.setitem(WORKLOADS, "tried", Workload("tries", entries, ["messages_s"]))
    for words in (["--only", "y"], [], ["--large"]):
        assert run(monkeypatch, "tried", "--quick", *words) == 0
    assert turns.taken == [*"y", *"xy", *"xyz"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nothing", "no such workload: nothing"),
        ("a a", "a is named more than once"),
        ("a --only floor,nobody", "no such row: nobody"),
        ("--rounds 0", "argument --rounds: 0 is not a number above 0"),
        ("--rounds=-1", "argument --rounds: -1 is not a number above 0"),
        ("--folder no/where", "no such folder: no/where"),
        ("--readme no.json", "tests.bench: --readme takes .*No such file.*no.json"),
    ],
)
def test_a_bad_option_ends_it_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    try:
        status: object = run(monkeypatch, *words.split())
    except SystemExit as end:
        status = end.code
    assert status == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert re.search(f"{said}$" if usage else said, line)
    assert len(usage) <= 1


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (KeyboardInterrupt(), nullcontext()),
        (SystemExit(143), pytest.raises(SystemExit, match="143")),
        (RuntimeError(), pytest.raises(RuntimeError)),
    ],
    ids=["Ctrl-C", "SIGTERM", "unforeseen"],
)
def test_what_was_measured_before_it_broke_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    ending: AbstractContextManager[object],
) -> None:
    turns = Turns()
    entries = {"x": turns.entry("x"), "y": turns.entry("y", error)}
    monkeypatch.setitem(WORKLOADS, "tried", Workload("tries", entries, ["messages_s"]))
    with ending:
        assert run(monkeypatch, "tried", "--json") == 130
    assert json.loads(capsys.readouterr().out)["workloads"] == {
        "tried": {"x": {"rounds": [{"messages_s": 1}], "missing": "", "wrong": ""}}
    }


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(bench, "prepare", lambda folder: None)
    monkeypatch.setattr("sys.argv", ["tests.bench", *words])
    return bench.main()
