"""What it costs to have somebody connected who says nothing."""

import os
import time
from pathlib import Path
from typing import Final

from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Seed
from tests.bench.machine import resident

SETTLED: Final = 3.0  # seconds: presence is told once a second
WATCHED: Final = 5  # times the seconds of other measurements: keep-alives are 20 s apart
MEMBERS: Final = 100


def idle(contestant: Contestant, sockets: int, ground: Ground) -> Figures:
    sockets = ground.pace.of(sockets)
    seed = Seed(sockets, rooms=max(1, sockets // MEMBERS), members=MEMBERS)
    with contestant.running(ground, seed) as running:
        before = resident(running.processes)
        with ground.load(("talk", contestant.dialect), running, "none", sockets, 0, 1, 0, 0).held() as told:
            assert (told["open"], told["closed"]) == (sockets, 0), told
            time.sleep(SETTLED)
            after, spent = resident(running.processes), processor_seconds(running.processes)
            time.sleep(ground.pace.seconds * WATCHED)
            spent = processor_seconds(running.processes) - spent
    return {
        "kib_each": (after - before) / sockets / 1024,
        "resident_mb": after / 1e6,
        "cpu_percent": 100 * spent / (ground.pace.seconds * WATCHED),
        "connect_s": told["connect_s"],
    }


def processor_seconds(processes: tuple[int, ...]) -> float:
    return sum(_ticks(process) for process in processes) / os.sysconf("SC_CLK_TCK")


def _ticks(process: int) -> int:
    """Of its own work and of the system's for it: the twelfth and thirteenth field behind its name."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
