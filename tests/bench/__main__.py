"""python -m tests.bench: how fast this chat is on this machine, and beside others.

Each contestant serves on one core, its database and broker too, and the load has another. In each round every one has
a turn; a turn starts it afresh on a fresh copy of what was seeded, warms it up, measures, checks that nothing was lost,
doubled or out of order, and ends it. What is printed are the medians of the rounds, with the least and the most, and
ratios of what was measured in the same round. What is missing on this machine is named, and the rest is measured; what
is found wrong has no figures.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.bench.figures import Measured
from tests.bench.ground import Ground, Pace
from tests.bench.load import NoCompiler
from tests.bench.machine import LOAD_CORE, described, look_for_tools, on_core, raise_file_limit
from tests.bench.report import Results, as_json, from_json, heading, section, tables
from tests.bench.rounds import measure
from tests.bench.tables import shortened
from tests.bench.workloads import WORKLOADS, Entry
from tests.running import ROOT

CACHE: Final = ROOT / ".venv-bench"
ROUNDS: Final = 3
QUICK: Final = Pace(seconds=1.0, warm=0.5, share=10)


def read_arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:9}{workload.purpose}" for name, workload in WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        usage="%(prog)s [OPTION…] [WORKLOAD…]",
        description=__doc__,
        epilog=f"workloads:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="which; without, all of them")
    parser.add_argument("--only", metavar="ROWS", help="of their tables, with commas between: floor,sqlite")
    parser.add_argument("--large", action="store_true", help="also what takes many minutes and gigabytes")
    parser.add_argument("--rounds", type=rounds, help=f"default {ROUNDS}, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="short and small: does it work at all?")
    parser.add_argument("--json", action="store_true", help="all rounds as one JSON object, instead of tables")
    parser.add_argument("--readme", nargs="+", type=Path, metavar="FILE", help="only the tables of what --json printed")
    parser.add_argument("--folder", help="where the databases are for a while; a disk, or syncing costs nothing")
    arguments = parser.parse_args()
    if problem := "; ".join(problems(arguments)):
        parser.error(problem)
    arguments.workloads = [name for name in arguments.workloads or WORKLOADS if rows(name, arguments)]
    return arguments


def rounds(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word} is not a number above 0")
    return int(word)


def problems(arguments: argparse.Namespace) -> Iterator[str]:
    wanted = arguments.workloads
    for name in sorted({name for name in wanted if name not in WORKLOADS}):
        yield f"no such workload: {name}"
    for name in sorted({name for name in wanted if wanted.count(name) > 1}):
        yield f"{name} is named more than once"
    known = {row for name, workload in WORKLOADS.items() if name in (wanted or WORKLOADS) for row in workload.entries}
    for row in arguments.only.split(",") if arguments.only else ():
        if row not in known:
            yield f"no such row: {row}"
    if arguments.folder and not Path(arguments.folder).is_dir():
        yield f"no such folder: {arguments.folder}"


def measure_into(results: Results, arguments: argparse.Namespace, pace: Pace) -> None:
    """Each turn as soon as it is over. Raises `NoCompiler`."""
    wanted = arguments.rounds or (1 if arguments.quick else ROUNDS)
    with (
        tempfile.TemporaryDirectory(prefix="chat-bench-") as folder,
        Ground(Path(folder), CACHE, pace) as ground,
    ):
        for name in arguments.workloads:
            results[name] = {}
            measure(rows(name, arguments), ground, wanted, reporting(name, results[name]))
            if not arguments.json:
                print(f"\n{section(name, results[name])}", flush=True)


def rows(workload: str, arguments: argparse.Namespace) -> dict[str, Entry]:
    every = WORKLOADS[workload].entries
    if arguments.only:
        return {name: every[name] for name in arguments.only.split(",") if name in every}
    return {name: entry for name, entry in every.items() if arguments.large or not entry.large}


def reporting(workload: str, results: dict[str, Measured]) -> Callable[[str, int, Measured], None]:
    figure = WORKLOADS[workload].figures[0]

    def report(row: str, number: int, found: Measured) -> None:
        results[row] = found
        said = shortened(found.reason) if found.reason else f"{figure} {found.rounds[0, number][figure]:,.2f}"
        print(f"{workload}, {row}, round {number + 1}: {said}", file=sys.stderr, flush=True)

    return report


def show_saved(files: list[Path]) -> int:
    try:
        told, results = from_json(files)
        shown = "\n\n".join([heading(told["machine"], told["pace"]), *tables(results)])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return refuse(f"--readme takes what --json printed: {type(error).__name__}: {error}")
    print(shown)
    return 0


def refuse(why: str) -> int:
    print(f"tests.bench: {why}", file=sys.stderr)
    return 2


def run(arguments: argparse.Namespace) -> int:
    pace = QUICK if arguments.quick else Pace()
    machine, results = described(Path(tempfile.gettempdir())), Results()
    if not arguments.json:
        print(heading(machine, pace._asdict()), flush=True)
    try:
        measure_into(results, arguments, pace)
    finally:
        if arguments.json:
            print(as_json(results, machine, pace), flush=True)
    return int(any(each.wrong for found in results.values() for each in found.values()))


def prepare(folder: str | None) -> None:
    if folder:
        tempfile.tempdir = str(Path(folder).resolve())  # PostgreSQL's too
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, leave)
    raise_file_limit()
    look_for_tools()


def leave(number: int, _: object) -> None:
    """What was started is ended on the way, and nothing hinders that."""
    for again in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """0 done, 1 something measured was wrong, 2 it cannot be measured here."""
    arguments = read_arguments()
    if arguments.readme:
        return show_saved(arguments.readme)
    prepare(arguments.folder)
    try:
        with on_core(LOAD_CORE):  # what looks at the servers takes nothing from them
            return run(arguments)
    except NoCompiler as error:
        return refuse(str(error))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
