"""People come and go for minutes, in every way that there is to come and go; then everybody has left, and the server
holds what it held before they came, to the object.

CHAT_TEST_CHURN says for how many seconds; 90 without. An hour is CHAT_TEST_CHURN=3600, with pytest's option
`-o faulthandler_timeout=0`: else it is ended after five minutes. A sixth of it goes before the first count, so that
what is made once and kept (threads, connections to the file, lazy imports) is there.

Counted exactly: tasks, connections, requests, open files by kind, threads, the size of every collection that the node
and all that it is made of hold (the hub's, the queue's, the cursor's, the buckets', who is online and who types), and
the objects of the chat, its server and the event loop. What is kept on purpose is not counted as a leak: the cache of
states is emptied before each count, and the pages of SQLite are full by the first one (see `counted.py`); the buckets
of accounts and addresses are made once for everybody who comes. Memory may grow by 10%, and what Python has of it in
use, whoever holds it, by 2%.

Nor does anything of the chat's own wait for a collection, which the server makes rare: what holds itself in a circle
when it is over is memory that goes up with every visit, and leaves holes where it was.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client import Account, register
from tests.faults.visits import Visitor
from tests.running import Server, running, wait_for

SECONDS: Final = float(os.environ.get("CHAT_TEST_CHURN", "90"))
SEED: Final = int(os.environ.get("CHAT_TEST_SEED", "1"))
PEOPLE: Final = 24
# The allocator gives back at once what is large, as each 19 MiB of a password's hash, and has no heap for each thread.
TIDY: Final = {"MALLOC_MMAP_THRESHOLD_": str(1024 * 1024), "MALLOC_ARENA_MAX": "1"}
COUNTING: Final = Path(__file__).parent / "counted.py"
QUIET_WITHIN: Final = 30.0  # seconds

MEASURED: Final = ("memory", "blocks", "cached", "collected")  # not counted exactly

Counts = dict[str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "1000") as server:
        server.kill()
        server.script = COUNTING
        server.environment = {"COUNTS": str(tmp_path / "counts.json"), **TIDY}
        server.start()
        yield server


def counts(server: Server) -> Counts:
    file = server.folder / "counts.json"
    before = json.loads(file.read_text())["number"] if file.exists() else 0
    server.signal(signal.SIGUSR1)
    wait_for(lambda: file.exists() and json.loads(file.read_text())["number"] > before, "the server to count")
    counted: Counts = json.loads(file.read_text())
    del counted["number"]
    return counted


def exact(counted: Counts) -> Counts:
    return {name: value for name, value in counted.items() if name not in MEASURED}


def differences(before: Counts, after: Counts) -> list[str]:
    found = []
    for name in before:
        if isinstance(before[name], dict):
            keys = sorted({*before[name], *after[name]})
            pairs = [(f"{name} {key}", before[name].get(key, 0), after[name].get(key, 0)) for key in keys]
        elif isinstance(before[name], list):
            one, other = Counter[str](before[name]), Counter[str](after[name])
            pairs = [(f"{name} {key}", one[key], other[key]) for key in sorted({*one, *other})]
        else:
            pairs = [(name, before[name], after[name])]
        found += [f"{what}: {was} -> {now}" for what, was, now in pairs if was != now]
    return found


async def quiet(server: Server) -> Counts:
    """As it is when everybody has left: the same for a while."""
    end = time.monotonic() + QUIET_WITHIN
    counted = await asyncio.to_thread(counts, server)
    while True:
        await asyncio.sleep(3)
        before, counted = counted, await asyncio.to_thread(counts, server)
        different = differences(exact(before), exact(counted))
        if not different and not counted["sizes"]["connections"] and not edges(counted):
            return counted
        assert time.monotonic() < end, "\n".join(["it does not come to rest:", *different, *edges(counted)])


async def back(server: Server, before: Counts) -> Counts:
    """As it was before, exactly."""
    end = time.monotonic() + QUIET_WITHIN
    while different := differences(exact(before), exact(after := await asyncio.to_thread(counts, server))):
        assert time.monotonic() < end, "left behind:\n" + "\n".join(different)
        await asyncio.sleep(1)
    return after


def edges(counted: Counts) -> list[str]:
    """The protocols of connections that are not forgotten yet."""
    return [f"{number} {name}" for name, number in counted["objects"].items() if name.endswith("Edge")]


async def churn(visitors: Sequence[Visitor], seconds: float) -> None:
    end = time.monotonic() + seconds

    async def come_and_go(visitor: Visitor) -> None:
        while time.monotonic() < end:
            await visitor.visit()

    await asyncio.gather(*map(come_and_go, visitors))


def visitors_of(server: Server, host: Account) -> list[Visitor]:
    hall, lobby = (host.do("create_room", title=title, kind="public")["room"] for title in ("Hall", "Lobby"))
    accounts = [register(server.address, f"visitor{number}") for number in range(PEOPLE)]
    for account in accounts:
        account.do("join_room", room=hall)
    return [Visitor(account, hall, lobby, SEED * 1_000 + number) for number, account in enumerate(accounts)]


async def test_when_everybody_has_left_nothing_is_left_behind(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    host = register(server.address, "host")
    visitors = visitors_of(server, host)
    await asyncio.gather(*(visitor.visit_in_every_way() for visitor in visitors))
    await churn(visitors, SECONDS / 6)
    before = await quiet(server)
    await churn(visitors, SECONDS * 5 / 6)
    after = await back(server, before)
    visits = sum((visitor.visits for visitor in visitors), Counter())
    objects = sum(after["objects"].values())
    with capsys.disabled():
        print(f"\n{visits.total():,} visits in {SECONDS:.0f} s: {dict(visits)};")
        print(f"{after['tasks']} tasks, {len(after['files'])} files, {objects:,} objects, as before;")
        print(f"memory {before['memory'] / 2**20:.1f} -> {after['memory'] / 2**20:.1f} MiB")
        print(f"and {before['blocks']:,} -> {after['blocks']:,} blocks of Python's own")
    assert all(size == 0 for path, size in after["sizes"].items() if path.startswith("node.hub."))
    assert after["collected"] == {}
    assert after["blocks"] < 1.02 * before["blocks"]
    assert after["memory"] < 1.1 * before["memory"]
    assert len(visits) == len({way.__name__ for way in visitors[0].ways})
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]
