"""What grows with the length of the log. Nothing else is going on."""

import time
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any, Final

from chat.application.maintenance.texts import COMMON, vocabulary
from tests.bench.asker import Asker, asker_of
from tests.bench.checks import check_page
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures, percentiles
from tests.bench.ground import Ground, Seed
from tests.bench.machine import resident

SENT: Final = 300  # messages, one after the other
PAUSE: Final = 0.01  # seconds between two of them
ASKED: Final = 100  # questions of each kind
PAGE: Final = 50


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
        **latency("search_seldom", lambda: asker.search(chance.choice(seldom))),
        **latency("search_common", lambda: found(asker, chance.choice(common))),
        **latency("search_both", lambda: asker.search(f"{chance.choice(seldom)} {chance.choice(common)}")),
    }


def sends(asker: Asker) -> Figures:
    room = asker.room()
    return latency("send", lambda: asker.do("send_message", room=room, text="now and then"), SENT, PAUSE)


def latency(name: str, work: Callable[[], Any], times: int = ASKED, pause: float = 0) -> Figures:
    took = []
    for _ in range(times):
        took.append(timed(work))
        time.sleep(pause)
    return percentiles(name, took)


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


def found(asker: Asker, word: str) -> None:
    assert asker.search(word), f"nothing holds {word}"
