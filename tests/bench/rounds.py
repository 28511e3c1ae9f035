"""Rounds: in each of them every contestant has its turn once, so that what changes on the machine hits all of them."""

import http.client
import subprocess
from collections.abc import Callable, Mapping

from tests.bench.figures import Measured
from tests.bench.ground import Ground
from tests.bench.load import Failed
from tests.bench.machine import Missing
from tests.bench.workloads import Entry, Work

WRONG = (AssertionError, Failed, OSError, http.client.HTTPException, subprocess.SubprocessError)
Report = Callable[[str, int, Measured], None]


def measure(entries: Mapping[str, Entry], ground: Ground, rounds: int, report: Report) -> dict[str, Measured]:
    """What is found wrong or missing stands in place of figures, and has no further turn."""
    found = {name: Measured() for name in entries}
    for number in range(rounds):
        for name in found:
            if not found[name].reason:
                found[name] = turn(entries[name].work, ground, found[name])
                report(name, number, found[name])
    return found


def turn(work: Work, ground: Ground, before: Measured) -> Measured:
    try:
        return Measured({**before.rounds, (0, len(before.rounds)): work(ground)})
    except Missing as missing:
        return Measured(missing=str(missing))
    except WRONG as error:
        return Measured(wrong=f"{type(error).__name__}: {error}")
