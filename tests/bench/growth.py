"""What grows with the number of sockets, and with the length of the log. Nothing else is going on."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from statistics import median, quantiles
from typing import Any, Final

from chat.application.maintenance.texts import COMMON, vocabulary
from tests.bench.asker import Asker, asker_of
from tests.bench.checks import check_page
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Running, Seed
from tests.bench.machine import resident

SENT: Final = 300  # messages, one after the other
PAUSE: Final = 0.01  # seconds between two of them
ASKED: Final = 100  # questions of each kind
PAGE: Final = 50
MEMBERS: Final = 100


def sockets(contestant: Contestant, number: int, ground: Ground) -> Figures:
    """So many are connected, in rooms of a hundred, and one of them says something now and then."""
    number = ground.pace.of(number, least=10)
    seed = Seed(number, rooms=max(1, number // MEMBERS), members=MEMBERS)
    with contestant.running(ground, seed) as running:
        alone = resident(running.processes)
        held = ground.load(("talk", contestant.dialect), running, "none", number, 0, 1, 0, 0).held()
        with held as told, closing(somebody_with_rooms(running)) as asker:
            assert (told["open"], told["closed"]) == (number, 0), told
            figures = sends(asker)
            together = resident(running.processes)
    return {"resident_mb": together / 1e6, "kib_each": (together - alone) / number / 1024, **figures}


def log(contestant: Contestant, messages: int, ground: Ground) -> Figures:
    """How soon a node stands, and how soon it answers, with so many messages in ten rooms."""
    seed = Seed(accounts=100, rooms=10, members=100, messages=ground.pace.of(messages))
    with contestant.running(ground, seed) as running, closing(asker_of(running)) as asker:
        room = asker.room()
        figures = {"start_s": running.seconds_to_start, "first_page_ms": timed(lambda: newest(asker, room))}
        figures |= questions(asker, room) | sends(asker)
        return figures | {"resident_mb": resident(running.processes) / 1e6}


def questions(asker: Asker, room: str) -> Figures:
    chance, last = Random(1), newest(asker, room)
    seldom, common = vocabulary()[len(COMMON) :], COMMON[:10]
    return {
        **latency("page", lambda: newest(asker, room)),
        **latency("old_page", lambda: old_page(asker, room, chance.randint(250, last))),
        **latency("search_seldom", lambda: search(asker, chance.choice(seldom))),
        **latency("search_common", lambda: search(asker, chance.choice(common))),
        **latency("search_both", lambda: search(asker, f"{chance.choice(seldom)} {chance.choice(common)}")),
    }


def sends(asker: Asker) -> Figures:
    room = asker.room()
    return latency("send", lambda: asker.do("send_message", room=room, text="now and then"), SENT, PAUSE)


def latency(name: str, work: Callable[[], Any], times: int = ASKED, pause: float = 0) -> Figures:
    took = []
    for _ in range(times):
        took.append(timed(work))
        time.sleep(pause)
    return {f"{name}_p50_ms": median(took), f"{name}_p99_ms": quantiles(took, n=100)[98]}


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def newest(asker: Asker, room: str) -> int:
    page = asker.ask("list_messages", room=room, limit=PAGE)
    check_page(page, PAGE)
    return int(page["messages"][-1]["seq"])


def old_page(asker: Asker, room: str, before: int) -> None:
    check_page(asker.ask("list_messages", room=room, before=before, limit=PAGE), PAGE)


def search(asker: Asker, text: str) -> None:
    found = asker.ask("search_messages", text=text)["messages"]
    assert all(set(text.split()) <= set(hit["text"].split()) for hit in found), (text, found)


def somebody_with_rooms(running: Running) -> Asker:
    """Not everybody was drawn for a room."""
    return next(asker for asker in askers(running) if asker.ask("list_rooms")["rooms"])


def askers(running: Running) -> Iterator[Asker]:
    for account in range(MEMBERS):
        yield asker_of(running, account)
