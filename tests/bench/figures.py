"""What comes out of several rounds: medians with their spread, and ratios of what was measured in the same round."""

from statistics import median
from typing import NamedTuple

Figures = dict[str, float]


class Measured(NamedTuple):
    """Of one contestant: the figures of each round, or why there are none."""

    rounds: tuple[Figures, ...] = ()
    missing: str = ""
    wrong: str = ""

    @property
    def reason(self) -> str:
        return self.wrong or self.missing


class Summary(NamedTuple):
    median: float
    least: float
    most: float


def summary(values: list[float]) -> Summary:
    return Summary(median(values), min(values), max(values))


def of_rounds(measured: Measured, figure: str) -> Summary:
    return summary([figures[figure] for figures in measured.rounds])


def ratio(one: Measured, other: Measured, figure: str) -> float:
    """How many times the other's it is, in the median of the rounds that both have."""
    pairs = zip(one.rounds, other.rounds, strict=False)
    return median(mine[figure] / its[figure] for mine, its in pairs)
