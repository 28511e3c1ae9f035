"""Several nodes, each a process of its own, on one PostgreSQL and one RabbitMQ."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.client import Account, request
from tests.faults.checker import Event, Stored
from tests.running import Server, wait_for
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitServer, rabbitmq

SOON: Final = 30.0  # seconds for a node to be as it should


class Cluster:
    def __init__(self, folder: Path, postgres: Postgres, rabbit: RabbitServer) -> None:
        self.folder = folder
        self.postgres = postgres
        self.rabbit = rabbit
        self.database = postgres.new_database()
        self.nodes: list[Server] = []

    def add(self, *flags: str, broker: str = "") -> Server:
        """One more node, running. It may see the broker by another address."""
        folder = self.folder / f"node{len(self.nodes) + 1}"
        folder.mkdir()
        always = ("--registration", "open", "--rate", "0", "--broker", broker or self.rabbit.url)
        node = Server(folder, *always, *flags, database=self.database)
        self.nodes.append(node)
        node.start()
        return node

    def restore(self) -> None:
        """Everybody is there, and knows it."""
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
        for node in self.nodes:
            wait_until_ready(node)

    def end(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()

    # ---- what is stored

    @property
    def name(self) -> str:
        return self.database.rpartition("/")[2]

    def ask(self, sql: str) -> list[list[str]]:
        """The rows that the database has for this."""
        return [line.split("|") for line in self.postgres.run(sql, self.name).splitlines()]

    def heads(self, *rooms: str) -> dict[str, int]:
        """The last seqs of these rooms."""
        rows = self.ask("SELECT stream, max(seq) FROM log WHERE stream LIKE 'room:%' GROUP BY stream")
        seqs = {stream.removeprefix("room:"): int(seq) for stream, seq in rows}
        return {room: seqs[room] for room in rooms}

    def stored(self, *rooms: str) -> Stored:
        """These rooms, and all positions of the log."""
        log: defaultdict[str, list[Event]] = defaultdict(list)
        for stream, seq, event in self.ask("SELECT stream, seq, encode(event, 'hex') FROM log ORDER BY position"):
            kind, _, room = stream.partition(":")
            if kind == "room" and room in rooms:
                log[room].append(Event(int(seq), bytes.fromhex(event)))
        positions = [int(position) for [position] in self.ask("SELECT position FROM log ORDER BY position")]
        return Stored(log, positions=positions)


def ready(node: Server) -> dict[str, Any] | None:
    """What it says of itself, if it wants traffic."""
    try:
        response = request(node.address, "GET", "/readyz")
    except OSError:
        return None
    answer: dict[str, Any] = response.json
    return answer if response.status == 200 else None


def wait_until_ready(node: Server, broker: str = "ok") -> None:
    wait_for(lambda: (ready(node) or {}).get("broker") == broker, f"a node with its broker {broker}", SOON)


def at(node: Server, account: Account) -> Account:
    """The same account, by another node."""
    return Account(node.address, account.token, account.name)


@contextmanager
def cluster_of(nodes: int, folder: Path) -> Iterator[Cluster]:
    with Postgres() as postgres, rabbitmq(folder / "rabbitmq") as rabbit:
        cluster = Cluster(folder, postgres, rabbit)
        try:
            for _ in range(nodes):
                cluster.add()
            cluster.restore()
            yield cluster
        finally:
            cluster.end()
