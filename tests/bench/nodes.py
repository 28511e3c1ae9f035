"""Several nodes on PostgreSQL and RabbitMQ, both started privately. Nothing has a core of its own here: nodes, servers
and the load take what there is.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.load import Load
from tests.bench.place import Asker, Place
from tests.client import Account, Talk
from tests.running import ROOT, Server, clean_environment
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import rabbitmq

LIGHT: Final = 300  # messages, one after the other
PAUSE: Final = 0.01  # seconds between two of them


@contextmanager
def nodes_on(place: Place, number: int) -> Iterator[list[Server]]:
    """What was seeded, served by so many nodes."""
    with Postgres() as postgres, rabbitmq(place.folder / "rabbitmq") as rabbit:
        database = postgres.new_database()
        subprocess.run(
            [sys.executable, ROOT / "chat.py", "copy", "--from=sqlite:chat.db", f"--to={database}"],
            cwd=place.folder,
            env=clean_environment(),
            check=True,
            capture_output=True,
        )
        nodes = [_node(place.folder / f"node{index}", database, rabbit.url) for index in range(number)]
        try:
            for node in nodes:
                node.start()
            yield nodes
        finally:
            for node in nodes:
                node.kill()


def _node(folder: Path, database: str, broker: str) -> Server:
    folder.mkdir()
    return Server(folder, "--rate", "0", "--sockets", "100000", "--broker", broker, database=database)


def talk_on(
    place: Place, program: Path, nodes: list[Server], shape: tuple[int, int, int, float, float]
) -> dict[str, Any]:
    with closing(Asker(nodes[0].port, place.tokens[0])) as asker:
        room = asker.room()
    return Load(program, place.folder, nodes, room).talk(*shape)


def across(place: Place, nodes: list[Server]) -> list[float]:
    """Milliseconds from a message's sending on one node to its hearing on another, at light load."""
    return asyncio.run(_across(*(Account(node.address, place.tokens[0]) for node in nodes[:2])))


async def _across(here: Account, there: Account) -> list[float]:
    took = []
    async with Talk(here) as one, Talk(there) as other:
        room = (await one.until(type="hello"))["rooms"][0]["id"]
        await other.until(type="hello")
        for number in range(LIGHT):
            began = time.perf_counter()
            await one.say("send_message", id=f"across {number}", room=room, text=f"across {number}")
            await other.until(type="message_sent", text=f"across {number}")
            took.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(PAUSE)
    return took


def spread(took: list[float]) -> dict[str, float]:
    return {"across_p50_ms": statistics.median(took), "across_p99_ms": statistics.quantiles(took, n=100)[98]}
