"""This project as a contestant: one node on each store, and two nodes on PostgreSQL and RabbitMQ.

Each socket has an account of its own, and nothing is switched off but the limits by account and address.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.bench.ground import LOST, Ground, Running, Seed, copy_of
from tests.bench.machine import SERVER_CORE, at_the_server, family, need, on_core
from tests.running import Server, altered
from tests.servers.rabbitmq import rabbitmq

FLAGS: Final = ("--rate", "0", "--sockets", "100000")


@contextmanager
def on_memory(ground: Ground, seed: Seed) -> Iterator[Running]:
    with ground.fresh() as folder:
        node = Server(folder, *FLAGS, database="memory:")
        seeding = {**seed.flags(), "tokens": "tokens", "seed": 1}
        node.script = altered(folder, "from tests.bench.seeded import seed_first", f"seed_first({seeding})")
        with serving(node) as seconds:
            yield running(folder / "tokens", seconds, node)


@contextmanager
def on_sqlite(ground: Ground, seed: Seed) -> Iterator[Running]:
    seeded = ground.seeded(seed)
    with ground.fresh() as folder:
        database = copy_of(seeded, folder)
        node = Server(folder, *FLAGS)
        with serving(node) as seconds:
            yield running(seeded / "tokens", seconds, node)
        with closing(sqlite3.connect(database)) as log:
            [lost] = log.execute(LOST).fetchone()
        assert not lost, f"rows lost from the log: {lost}"


@contextmanager
def on_postgres(ground: Ground, seed: Seed, *, nodes: int) -> Iterator[Running]:
    """With RabbitMQ, and all of it on the server's core. Raises `Missing`."""
    need("rabbitmq-server")
    tokens = ground.seeded(seed) / "tokens"
    with (
        ground.fresh() as folder,
        at_the_server(ground.on_postgres(seed)) as (database, postgres),
        at_the_server(rabbitmq(folder / "rabbitmq")) as rabbit,
    ):
        started = [node_on(folder / f"node{number}", database, rabbit.url) for number in range(nodes)]
        with serving(*started) as seconds:
            yield running(tokens, seconds, *started, beside=family(rabbit.process.pid, postgres))


def node_on(folder: Path, database: str, broker: str) -> Server:
    folder.mkdir()
    return Server(folder, *FLAGS, "--broker", broker, database=database)


@contextmanager
def serving(*nodes: Server) -> Iterator[float]:
    """How many seconds they took to listen. Raises `AssertionError` when one does not end well."""
    began = time.monotonic()
    with ExitStack() as ending:
        with on_core(SERVER_CORE):
            for node in nodes:
                ending.callback(kill, node)
                node.start()
        yield time.monotonic() - began
        ended = [node.stop() for node in nodes]
        assert not any(ended), f"servers ended with {ended}"


def kill(node: Server) -> None:
    with suppress(AssertionError):  # it was not started
        if node.process.poll() is None:
            node.kill()


def running(tokens: Path, seconds: float, *nodes: Server, beside: tuple[int, ...] = ()) -> Running:
    processes = (*(node.process.pid for node in nodes), *beside)
    return Running(tuple(node.port for node in nodes), processes, tokens, seconds)
