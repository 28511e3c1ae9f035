"""What a benchmark leaves behind: all of it as JSON, and the tables. The tables of the README can be made again from
the JSON, also from that of several runs: then the rounds of all of them count.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from tests.bench.figures import Measured
from tests.bench.ground import Pace
from tests.bench.tables import table
from tests.bench.workloads import WORKLOADS

Results = dict[str, dict[str, Measured]]  # by workload and row

WIDTH: Final = 120
HEADING: Final = """
{processor}, {cores} cores, {system}, Python {python}; databases are on {disk}. {where} nodes, PostgreSQL and RabbitMQ
share; `server` and `load` say how much of a core each of the two took. Each turn is {warm:g} s to warm up and
{seconds:g} s that count{small}. Figures are medians of the rounds, with the least and the most where there were
several, ratios those of one round. MB are of memory; CPU s/million is what the server's core worked for a million
deliveries. The floor sends as many bytes as this chat for the same text, the other peers fewer.
"""
APART: Final = "The load has a core to itself, and whoever is measured another, which"
TOGETHER: Final = "The load has no core to itself, but that of whoever is measured, which"


def as_json(results: Results, machine: Mapping[str, Any], pace: Pace) -> str:
    told = {
        name: {row: {**each._asdict(), "rounds": [*each.rounds.values()]} for row, each in found.items()}
        for name, found in results.items()
    }
    return json.dumps({"machine": machine, "pace": pace._asdict(), "workloads": told}, indent=2)


def from_json(files: Iterable[Path]) -> tuple[dict[str, Any], Results]:
    """What the last of them says of the machine and the pace, and the rounds of all."""
    results: Results = {}
    for run, file in enumerate(files):
        told = json.loads(file.read_text())
        for name, found in told["workloads"].items():
            rows = results.setdefault(name, {})
            for row, fields in found.items():
                numbered = {(run, number): figures for number, figures in enumerate(fields["rounds"])}
                rows[row] = added(rows.get(row, Measured()), Measured(**{**fields, "rounds": numbered}))
    return told, results


def added(before: Measured, after: Measured) -> Measured:
    """What was missing in one run may have been measured in another; what was wrong in one stays so."""
    rounds = {**before.rounds, **after.rounds}
    return Measured(rounds, "" if rounds else after.missing or before.missing, after.wrong or before.wrong)


def heading(machine: Mapping[str, Any], pace: Mapping[str, Any]) -> str:
    share = int(pace["share"])
    small = f" (a try, with 1/{share} of everything)" if share > 1 else ""
    where = APART if machine["apart"] else TOGETHER
    return fill(" ".join(HEADING.split()).format(**machine, **pace, small=small, where=where), WIDTH)


def tables(results: Results) -> Iterable[str]:
    return (section(name, results[name]) for name in WORKLOADS if name in results)


def section(name: str, found: Mapping[str, Measured]) -> str:
    workload = WORKLOADS[name]
    titles = {row: entry.title for row, entry in workload.entries.items()}
    in_order = {row: found[row] for row in workload.entries if row in found}
    left_out = "; ".join(titles[row] for row in workload.entries if row not in found)
    note = "\n\n" + fill(f"Not measured: {left_out}.", WIDTH) if left_out else ""
    return f"**{name}**: {workload.purpose}\n\n{table(in_order, titles, workload.figures, workload.ratios)}{note}"
