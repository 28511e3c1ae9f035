"""Figures of several rounds become medians, spreads and ratios, and these a table."""

import pytest

from tests.bench.figures import Measured, Summary, of_rounds, ratio
from tests.bench.report import section
from tests.bench.tables import COLUMNS, Against, shortened, table
from tests.bench.workloads import WORKLOADS

TITLES = {"floor": "the floor", "sqlite": "this chat", "socketio": "Socket.IO"}


def rounds(*values: float) -> Measured:
    return Measured({(0, number): {"deliveries_s": value} for number, value in enumerate(values)})


def test_of_the_rounds_the_median_counts_and_the_spread_is_told() -> None:
    assert of_rounds(rounds(9, 1, 2), "deliveries_s") == Summary(2, 1, 9)


def test_a_ratio_is_of_what_was_measured_in_one_round() -> None:
    """The machine was twice as fast in the second round, and nobody gains by it."""
    assert ratio(rounds(5, 10, 5), rounds(10, 20, 10), "deliveries_s") == 0.5


def test_rounds_that_the_other_did_not_finish_do_not_count() -> None:
    assert ratio(rounds(5, 100), rounds(10), "deliveries_s") == 0.5


def test_no_round_in_common_is_no_ratio() -> None:
    other = Measured({(1, 0): {"deliveries_s": 10}})
    assert ratio(rounds(5), other, "deliveries_s") is None
    assert ratio(Measured({**rounds(5).rounds, (1, 0): {"deliveries_s": 1}}), other, "deliveries_s") == 0.1


def test_rows_that_were_not_measured_are_named() -> None:
    assert "Not measured" not in section("e", {"memory": Measured(missing="x"), "sqlite": Measured(missing="x")})
    assert section("e", {"sqlite": Measured(missing="x")}).endswith("\n\nNot measured: this chat, `memory:`.")


def test_a_table_in_markdown() -> None:
    measured = {"floor": rounds(4_000, 4_100, 3_900), "sqlite": rounds(2_000, 2_050, 1_950), "socketio": rounds(50)}
    against = (Against("of the floor", "floor"), Against("this chat has", "sqlite", turned=True))
    assert table(measured, TITLES, ["deliveries_s"], against).splitlines() == [
        "|           |        deliveries/s | of the floor | this chat has |",
        "| --------- | ------------------: | -----------: | ------------: |",
        "| the floor | 4,000 (3,900–4,100) |        1.00× |         0.50× |",
        "| this chat | 2,000 (1,950–2,050) |        0.50× |         1.00× |",
        "| Socket.IO |                  50 |        0.01× |           40× |",
    ]


def test_what_is_missing_or_wrong_is_named_and_nothing_is_compared_with_it() -> None:
    measured = {
        "floor": Measured(missing="there is no cc"),
        "sqlite": rounds(7),
        "socketio": Measured(wrong="one\nwas lost"),
    }
    *rows, _, first, _, second = table(measured, TITLES, ["deliveries_s"], [Against("of", "floor")]).splitlines()
    assert [[cell.strip() for cell in row.split("|")[2:4]] for row in rows[2:]] == [
        ["missing", ""],
        ["7", ""],
        ["WRONG", ""],
    ]
    assert (first, second) == ("the floor: there is no cc", "Socket.IO: one was lost")


def test_a_long_reason_is_cut() -> None:
    assert shortened("word " * 1_000).endswith("…")
    assert len(shortened("word " * 1_000)) < 400


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_has_columns_for_its_figures(name: str) -> None:
    workload = WORKLOADS[name]
    assert set(workload.figures) <= COLUMNS.keys()
    assert {against.other for against in workload.ratios} <= workload.entries.keys()
