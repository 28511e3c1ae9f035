"""What it costs to have many connected, in rooms of a hundred: nobody says anything, or one of them now and then."""

from contextlib import closing
from typing import Final

from tests.bench.asker import Asker, asker_of
from tests.bench.checks import check_talk
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Running, Seed
from tests.bench.growth import sends
from tests.bench.load import Load
from tests.bench.machine import resident

MEMBERS: Final = 100
SETTLED: Final = 3.0  # seconds: presence is told once a second
KEEP_ALIVE: Final = 20.0  # seconds between two of a connection: in so many each has one


def silent(contestant: Contestant, number: int, ground: Ground) -> Figures:
    pace = ground.pace
    number, watched = pace.of(number), KEEP_ALIVE if pace.share == 1 else pace.seconds
    with contestant.running(ground, rooms_for(number)) as running:
        alone = resident(running.processes)
        told = listeners(contestant, running, ground, number, SETTLED, watched).run(SETTLED + watched)
    check_talk(told, number)
    figures = memory(alone, told["resident"], number) | {"connect_s": told["connect_s"]}
    return figures if watched < KEEP_ALIVE else {**figures, "cpu_percent": 100 * told["server_cpu_s"] / watched}


def now_and_then(contestant: Contestant, number: int, ground: Ground) -> Figures:
    number = ground.pace.of(number, least=10)
    with contestant.running(ground, rooms_for(number)) as running:
        alone = resident(running.processes)
        held = listeners(contestant, running, ground, number).held()
        with held as told, closing(somebody_with_rooms(running)) as asker:
            assert (told["open"], told["closed"]) == (number, 0), told
            figures = sends(asker)
            return memory(alone, resident(running.processes), number) | figures


def rooms_for(number: int) -> Seed:
    return Seed(number, rooms=max(1, number // MEMBERS), members=MEMBERS)


def listeners(
    contestant: Contestant, running: Running, ground: Ground, number: int, warm: float = 0, seconds: float = 0
) -> Load:
    return ground.load(("talk", contestant.dialect), running, "none", number, 0, 1, warm, seconds)


def memory(alone: int, together: int, number: int) -> Figures:
    return {"resident_mb": together / 1e6, "kib_each": (together - alone) / number / 1024}


def somebody_with_rooms(running: Running) -> Asker:
    """Not everybody was drawn for a room."""
    askers = (asker_of(running, account) for account in range(MEMBERS))
    return next(asker for asker in askers if asker.ask("list_rooms")["rooms"])
