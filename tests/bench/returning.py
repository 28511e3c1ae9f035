"""Clients that were away while others talked come back all in one moment, and want what they missed."""

from typing import Final, NamedTuple

from tests.bench.checks import check_resume
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Seed
from tests.bench.kept import check_kept

SECONDS: Final = 5.0  # about as long as it takes in all


class Absence(NamedTuple):
    """How many clients miss how many messages, in how many rooms of how many members."""

    clients: int
    messages: int
    rooms: int
    members: int
    senders: int = 10


def resume(contestant: Contestant, absence: Absence, ground: Ground) -> Figures:
    clients = ground.pace.of(absence.clients)
    seed = Seed(clients + absence.senders, absence.rooms, absence.members)
    with contestant.running(ground, seed) as running:
        told = ground.load(["resume"], running, clients, absence.senders, absence.messages).run(SECONDS)
        check_resume(told, clients)
        check_kept(running, absence.rooms, told["acknowledged"])
    names = ("caught_up_max_ms", "caught_up_p50_ms", "hello_p50_ms", "hello_max_ms")
    return {**{name: told[name] for name in names}, "resident_mb": told["resident"] / 1e6}
