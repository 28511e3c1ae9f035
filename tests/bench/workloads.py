"""What is measured, each by a function that takes a fresh folder and the load's program, and returns its figures.

A workload checks what it measured: wrong is an `AssertionError`. To add one takes a function and a line in WORKLOADS.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from chat.application.maintenance.texts import COMMON, vocabulary
from tests.bench.nodes import across, nodes_on, spread, talk_on
from tests.bench.place import Asker, Place

SECONDS: Final = 8.0
WARM: Final = 2.0
ASKED: Final = 100  # questions of each kind
FIGURES: Final = ("messages_s", "deliveries_s", "ack_p50_ms", "ack_p99_ms", "server_cpu", "load_cpu", "connect_s")

Figures = dict[str, float]


class Workload(NamedTuple):
    purpose: str
    measure: Callable[[Path, Path], Figures]
    large: bool = False


def talk(folder: Path, program: Path, *, sockets: int, senders: int, window: int) -> Figures:
    """Some of a room's members say as much as they can, all of them hear it."""
    place = Place(folder, program, accounts=sockets, rooms=1, members=sockets, messages=0)
    with place.serving() as asker:
        room = asker.room()
        told = place.load(room).talk(sockets, senders, window, SECONDS, WARM)
        page = asker.ask("list_messages", room=room, limit=100)
        memory = place.resident()
    check_talk(told, sockets)
    check_page(page, 100)
    return {name: told[name] for name in FIGURES} | {"resident_mb": memory / 1e6}


def check_talk(told: dict[str, Any], sockets: int) -> None:
    """Everything sent was acknowledged, is in the log once, and was heard once by everybody, in order."""
    wrong = {name: told[name] for name in ("refused", "closed", "disordered", "behind") if told[name]}
    assert not wrong, wrong
    assert told["open"] == sockets, told
    assert told["sent"] == told["acknowledged"] == told["logged"], told
    assert told["heard"] == told["logged"] * sockets, told


def check_page(page: dict[str, Any], length: int) -> None:
    seqs = [message["seq"] for message in page["messages"]]
    assert len(seqs) == length, f"a page of {length} has {len(seqs)} messages"
    assert seqs == list(range(seqs[0], seqs[0] + length)), f"a page has gaps: {seqs}"


def talk_on_nodes(folder: Path, program: Path, *, sockets: int, senders: int, window: int) -> Figures:
    """The same on one node and SQLite, and on two nodes that share PostgreSQL and RabbitMQ."""
    place = Place(folder, program, accounts=sockets, rooms=1, members=sockets, messages=0)
    shape = (sockets, senders, window, SECONDS, WARM)
    with place.serving() as asker:
        alone = place.load(asker.room()).talk(*shape)
    check_talk(alone, sockets)
    with nodes_on(place, 2) as nodes:
        both = talk_on(place, program, nodes, shape)
        check_talk(both, sockets)
        figures = {f"two_nodes_{name}": both[name] for name in FIGURES} | spread(across(place, nodes))
    ratio = both["messages_s"] / alone["messages_s"]
    return {f"sqlite_{name}": alone[name] for name in FIGURES} | figures | {"ratio": ratio}


def idle(folder: Path, program: Path, *, sockets: int) -> Figures:
    """What it costs to have somebody connected who says nothing."""
    place = Place(folder, program, accounts=sockets, rooms=max(1, sockets // 100), members=100, messages=0)
    with place.serving():
        before = place.resident()
        with place.load("none").idle(sockets) as told:
            assert told["open"] == sockets, told
            assert not told["closed"], told
            time.sleep(2)  # presence is told once a second
            after = place.resident()
    return {"kib_each": (after - before) / sockets / 1024, "resident_mb": after / 1e6, "connect_s": told["connect_s"]}


def ask(folder: Path, program: Path, *, messages: int) -> Figures:
    """How soon the server stands, and how soon it answers, with so many messages in ten rooms."""
    place = Place(folder, program, accounts=100, rooms=10, members=100, messages=messages)
    chance = Random(1)
    with place.serving() as asker:
        room = asker.room()
        figures = {"seed_s": place.seconds_to_seed, "start_s": place.seconds_to_start}
        figures |= timed("first_page", lambda: newest(asker, room), 1)
        last = newest(asker, room)
        figures |= timed("page", lambda: newest(asker, room))
        figures |= timed("old_page", lambda: old_page(asker, room, chance.randint(250, last)))
        rare, common = vocabulary()[len(COMMON) :], COMMON[:10]
        figures |= timed("search_rare", lambda: search(asker, chance.choice(rare)))
        figures |= timed("search_common", lambda: search(asker, chance.choice(common)))
        figures |= timed("search_both", lambda: search(asker, f"{chance.choice(rare)} {chance.choice(common)}"))
        figures |= {"resident_mb": place.resident() / 1e6}
    return figures


def timed(name: str, work: Callable[[], Any], times: int = ASKED) -> Figures:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    worst = {f"{name}_p99_ms": statistics.quantiles(took, n=100)[98]} if times > 1 else {}
    return {f"{name}_ms": statistics.median(took), **worst}


def newest(asker: Asker, room: str) -> int:
    page = asker.ask("list_messages", room=room, limit=50)
    check_page(page, 50)
    return int(page["messages"][-1]["seq"])


def old_page(asker: Asker, room: str, before: int) -> None:
    page = asker.ask("list_messages", room=room, before=before, limit=50)
    assert len(page["messages"]) == 50, page


def search(asker: Asker, text: str) -> None:
    found = asker.ask("search_messages", text=text)["messages"]
    assert all(set(text.split()) <= set(hit["text"].split()) for hit in found), (text, found)


WORKLOADS: Final = {
    "acknowledged": Workload(
        "100 members of one room send, 8 unanswered each", partial(talk, sockets=100, senders=100, window=8)
    ),
    "deliveries-4": Workload(
        "1,000 sockets of one room, 4 of them send", partial(talk, sockets=1_000, senders=4, window=1)
    ),
    "deliveries-64": Workload(
        "1,000 sockets of one room, 64 of them send", partial(talk, sockets=1_000, senders=64, window=1)
    ),
    "nodes": Workload(
        "one node on SQLite, and two on PostgreSQL and RabbitMQ: 100 members of one room send, 8 unanswered each",
        partial(talk_on_nodes, sockets=100, senders=100, window=8),
    ),
    "idle": Workload("5,000 sockets that say nothing", partial(idle, sockets=5_000)),
    "small": Workload("start, pages and search with 10 thousand messages", partial(ask, messages=10_000)),
    "large": Workload("the same with a million", partial(ask, messages=1_000_000), large=True),
}
