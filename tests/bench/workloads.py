"""What is measured: each a table of those that take part, and of what they do. Wrong is an `AssertionError`.

To add one takes a function from the ground to its figures, and a row in WORKLOADS.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from tests.bench import growth, sockets
from tests.bench.across import across
from tests.bench.asking import REQUESTS, ask
from tests.bench.contestants import CONTESTANTS, PROJECT, Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground
from tests.bench.returning import Absence, resume
from tests.bench.tables import Against
from tests.bench.talking import Room, Rooms, talk, talk_in_rooms

Work = Callable[[Ground], Figures]
Shape = TypeVar("Shape")


class Entry(NamedTuple):
    """A row of the table."""

    title: str
    work: Work
    large: bool = False


class Workload(NamedTuple):
    purpose: str
    entries: Mapping[str, Entry]
    figures: Sequence[str]  # those of the table, the first of them before all
    ratios: Sequence[Against] = ()


def by(
    contestants: Mapping[str, Contestant], work: Callable[[Contestant, Shape, Ground], Figures], shape: Shape
) -> dict[str, Entry]:
    return {name: Entry(each.purpose, partial(work, each, shape)) for name, each in contestants.items()}


ALONE: Final = {name: PROJECT[name] for name in ("memory", "sqlite")}
SQLITE: Final = PROJECT["sqlite"]
TALKED: Final = ("ack_p50_ms", "ack_p99_ms", "cpu_s_per_million", "resident_mb", "server_cpu", "load_cpu")
HEARD: Final = ("heard_p50_ms", "heard_p99_ms", "ack_p50_ms", "ack_p99_ms", "late_p99_ms", "messages_s", "server_cpu")
QUESTIONS: Final = ("page", "old_page", "search_seldom", "search_common", "search_both", "send")
RATIOS: Final = (Against("of the floor", "floor"), Against("SQLite has", "sqlite", turned=True))
SIZES: Final = (10, 100, 1_000, 9_000)
LENGTHS: Final = {10_000: False, 1_000_000: False, 5_000_000: True}

WORKLOADS: Final = {
    "a": Workload(
        "one room of 1,000 sockets, 4 of them send",
        by(CONTESTANTS, talk, Room(1_000, 4)),
        ("deliveries_s", *TALKED),
        RATIOS,
    ),
    "b": Workload(
        "one room of 1,000 sockets, 64 of them send",
        by(CONTESTANTS, talk, Room(1_000, 64)),
        ("deliveries_s", *TALKED),
        RATIOS,
    ),
    "c": Workload(
        "one room of 100 sockets, all of them send, 8 messages unanswered each",
        by(CONTESTANTS, talk, Room(100, 100, window=8)),
        ("messages_s", *TALKED),
        RATIOS,
    ),
    "d": Workload(
        "1,000 people in 1,000 rooms of 10, who send 2,000 messages a second in all, however soon they are answered",
        by(PROJECT, talk_in_rooms, Rooms(1_000, 10, 2_000)),
        HEARD,
    ),
    "e": Workload(
        "9,000 sockets that say nothing, for the 20 s in which each is kept alive once",
        by(ALONE, sockets.silent, 9_000),
        ("kib_each", "resident_mb", "cpu_percent", "connect_s"),
    ),
    "f": Workload(
        "500 clients come back at once, each with about 100 messages missed in 10 rooms",
        by(PROJECT, resume, Absence(500, 500, rooms=50, members=100)),
        ("caught_up_max_ms", "caught_up_p50_ms", "hello_p50_ms", "resident_mb"),
    ),
    "g": Workload(
        "16 clients with kept connections, by HTTP, with a log of 100,000 messages, on SQLite",
        {name: Entry(each.purpose, partial(ask, SQLITE, each)) for name, each in REQUESTS.items()},
        ("answers_s", "answer_p50_ms", "answer_p99_ms", "resident_mb", "server_cpu", "load_cpu"),
    ),
    "across": Workload(
        "from sending on one node to hearing on the other, a message now and then",
        {"two-nodes": Entry(PROJECT["two-nodes"].purpose, partial(across, PROJECT["two-nodes"]))},
        ("heard_p50_ms", "heard_p99_ms"),
    ),
    "sockets": Workload(
        "growth with the number of sockets, in rooms of 100, on SQLite: one says something now and then",
        {str(size): Entry(f"{size:,} sockets", partial(sockets.now_and_then, SQLITE, size)) for size in SIZES},
        ("resident_mb", "kib_each", "send_p50_ms", "send_p99_ms"),
    ),
    "log": Workload(
        "growth with the length of the log, on SQLite, by HTTP: pages, searches for seldom and frequent words, sending",
        {
            str(length): Entry(f"{length:,} messages", partial(growth.log, SQLITE, length), large)
            for length, large in LENGTHS.items()
        },
        ("start_s", "resident_mb", "first_page_ms", *(f"{name}_p50_ms" for name in QUESTIONS), "send_p99_ms"),
    ),
}
