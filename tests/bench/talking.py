"""Over websockets: in one room as much as its members can, or in many rooms now and then."""

from contextlib import closing
from typing import Final, NamedTuple

from tests.bench.asker import asker_of
from tests.bench.checks import check_talk
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Running, Seed
from tests.bench.kept import check_kept
from tests.bench.load import Told

TOLD: Final = ("messages_s", "deliveries_s", "server_cpu", "load_cpu", "connect_s")
LATENCIES: Final = ("ack_p50_ms", "ack_p99_ms", "heard_p50_ms", "heard_p99_ms")


class Room(NamedTuple):
    """Who is in it, how many of them send, and how much each of these leaves unanswered."""

    sockets: int
    senders: int
    window: int = 1


class Rooms(NamedTuple):
    """How many of them, how many people in each, and how much they say in all, a second."""

    rooms: int
    members: int
    rate: int


def talk(contestant: Contestant, room: Room, ground: Ground) -> Figures:
    """Everybody is in the one room. Raises `AssertionError` for what is wrong, `Failed`, and `Missing`."""
    sockets = ground.pace.of(room.sockets, least=room.senders)
    pace = ground.pace
    with contestant.running(ground, Seed(accounts=sockets)) as running:
        here = room_of(running) if contestant.dialect == "chat" else "none"
        words = (here, sockets, room.senders, room.window, pace.warm, pace.seconds)
        told = ground.load(("talk", contestant.dialect), running, *words).run(pace.warm + pace.seconds)
        check_talk(told, sockets)
        if contestant.dialect == "chat":
            check_kept(running, 1, told["acknowledged"])
    return figures_of(told)


def talk_in_rooms(contestant: Contestant, rooms: Rooms, ground: Ground) -> Figures:
    """There are as many people as rooms, so each is in about as many rooms as a room has members."""
    pace = ground.pace
    number = pace.of(rooms.rooms)
    with contestant.running(ground, Seed(accounts=number, rooms=number, members=rooms.members)) as running:
        words = (number, pace.of(rooms.rate), pace.warm, pace.seconds)
        told = ground.load(["rooms"], running, *words).run(pace.warm + pace.seconds)
        check_talk(told, number)
        check_kept(running, number, told["acknowledged"])
    return figures_of(told) | {f"late_{share}_ms": told[f"late_{share}_ms"] for share in ("p50", "p99")}


def figures_of(told: Told) -> Figures:
    return {
        **{name: told[name] for name in (*TOLD, *LATENCIES)},
        "cpu_s_per_million": told["server_cpu_s"] / max(1, told["deliveries"]) * 1e6,
        "resident_mb": told["resident"] / 1e6,
    }


def room_of(running: Running) -> str:
    with closing(asker_of(running)) as asker:
        return asker.room()
