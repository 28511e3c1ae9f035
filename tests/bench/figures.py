"""What comes out of several rounds: medians with their spread, and ratios of what was measured in the same round."""

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from types import MappingProxyType
from typing import Final, NamedTuple

Figures = dict[str, float]
Round = tuple[int, int]  # of which run, and which of its rounds

NOTHING: Final[Mapping[Round, Figures]] = MappingProxyType({})


class Measured(NamedTuple):
    """Of one contestant: the figures of each round, or why there are none."""

    rounds: Mapping[Round, Figures] = NOTHING
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
    return summary([figures[figure] for figures in measured.rounds.values()])


def ratio(one: Measured, other: Measured, figure: str) -> float | None:
    """How many times the other's it is, in the median of the rounds that both have, if there are any."""
    both = one.rounds.keys() & other.rounds.keys()
    return median(one.rounds[key][figure] / other.rounds[key][figure] for key in both) if both else None


def percentiles(name: str, milliseconds: Sequence[float]) -> Figures:
    return {f"{name}_p50_ms": median(milliseconds), f"{name}_p99_ms": quantiles(milliseconds, n=100)[98]}
