"""python -m tests.bench: how fast this chat is on this machine.

Each workload seeds a database of its own (SQLite, every commit synced to the disk), starts a server on one core and a
load on another, checks that nothing was lost, doubled or out of order, and prints its figures. `server_cpu` is the
share of a core that the server got: where others are at work on this machine it is less than the 1 that it would take,
and the server would do more alone.
"""

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.load import NoCompiler, compile_load
from tests.bench.place import raise_file_limit
from tests.bench.workloads import WORKLOADS, Figures

Results = dict[str, Figures | str]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"workloads, of: {', '.join(WORKLOADS)}")
    parser.add_argument("--large", action="store_true", help="also those that take minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--folder", help="where the databases are for a while; a disk, or syncing costs nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - WORKLOADS.keys():
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return arguments


def chosen(arguments: argparse.Namespace) -> list[str]:
    named: list[str] = arguments.only
    return named or [name for name, workload in WORKLOADS.items() if arguments.large or not workload.large]


def measure(names: list[str], folder: Path, quiet: bool) -> Results:
    """One after the other, never two at once. What is found wrong stands in place of figures."""
    program = compile_load(folder)
    results: Results = {}
    for name in names:
        place = folder / name
        place.mkdir()
        try:
            results[name] = WORKLOADS[name].measure(place, program)
        except (AssertionError, OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            results[name] = f"{type(error).__name__}: {error}"
        if not quiet:
            show(name, results[name])
    return results


def show(name: str, result: Figures | str) -> None:
    print(f"\n{name}: {WORKLOADS[name].purpose}")
    if isinstance(result, str):
        print(f"    WRONG: {result}")
        return
    for figure, value in result.items():
        print(f"    {figure:22}{value:>14,.{0 if value >= 1000 else 2}f}", flush=True)


def machine() -> dict[str, str | int]:
    return {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count() or 0}


def main() -> int:
    """0 done, 1 something measured was wrong, 2 it cannot be measured here."""
    arguments = read_arguments()
    raise_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="chat-bench-", dir=arguments.folder) as folder:
            results = measure(chosen(arguments), Path(folder), arguments.json)
    except NoCompiler as error:
        print(f"tests.bench: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"machine": machine(), "workloads": results}, indent=2))
    return int(any(isinstance(result, str) for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
