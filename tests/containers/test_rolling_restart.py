"""An upgrade as it is done behind the shipped proxy: one node after the other ends and comes back, under load. Nothing
is lost, nobody is away for longer than they are asked to be, and who writes by HTTP is told nothing but to ask again.

CHAT_TEST_ROLLS says how often each node is restarted; twice without.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.containers.proxied import Proxy, proxied
from tests.containers.writer import Writer
from tests.faults.checker import History, Stored, Verdict, demand, histories_in
from tests.faults.load import RESTARTING, Client, Running, crowd, milliseconds, read_pages, settle, until
from tests.nodes.cluster import Cluster, wait_until_ready
from tests.running import Server
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import rabbitmq

pytestmark = pytest.mark.requires("postgresql", "rabbitmq", "nginx")

ROLLS: Final = int(os.environ.get("CHAT_TEST_ROLLS", "2"))
PEOPLE: Final = 10
WRITERS: Final = 2
SLACK: Final = 5.0  # seconds on top of what clients are asked to stay away for


@contextmanager
def behind_the_proxy(folder: Path) -> Iterator[tuple[Cluster, Proxy]]:
    with Postgres() as postgres, rabbitmq(folder / "rabbitmq") as rabbit:
        cluster = Cluster(folder, postgres, rabbit)
        try:
            for _ in range(2):
                cluster.add("--proxies", "127.0.0.1")
            cluster.restore()
            with proxied(folder / "nginx", [node.port for node in cluster.nodes]) as proxy:
                yield cluster, proxy
        finally:
            cluster.end()


class Away(NamedTuple):
    """For how long somebody had no connection, and for how long they were asked to have none."""

    seconds: float
    asked: float


@asynccontextmanager
async def away_times(clients: Sequence[Client]) -> AsyncIterator[list[Away]]:
    """What is seen meanwhile of those who were here before."""
    times: list[Away] = []
    since: dict[Client, float] = {}

    def look(client: Client, now: float) -> None:
        if client.websocket is None and client.connections:
            since.setdefault(client, now)
        elif client in since:
            times.append(Away(now - since.pop(client), client.hints[-1]))

    async def watch() -> None:
        while True:
            for client in clients:
                look(client, time.monotonic())
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield times
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def go_on(clients: Sequence[Client]) -> None:
    """Everybody is there, and is answered."""
    before = {client: len(client.history.acknowledged) for client in clients}
    await until(
        lambda: all(len(client.history.acknowledged) > before[client] for client in clients), "everybody to be answered"
    )


async def restart(node: Server, clients: Sequence[Client]) -> None:
    """As an operator does: the next one not before this one is back."""
    assert await asyncio.to_thread(node.stop) == 0
    await go_on(clients)
    await asyncio.to_thread(node.start)
    await asyncio.to_thread(wait_until_ready, node)


def histories_of(clients: Sequence[Client], writers: Sequence[Writer]) -> list[History]:
    return [client.history for client in clients] + [writer.history for writer in writers]


async def judged(cluster: Cluster, clients: Sequence[Client], writers: Sequence[Writer], folder: Path) -> Verdict:
    rooms = list(clients[0].last)
    await settle(clients, lambda: cluster.heads(*rooms))
    stored = await asyncio.to_thread(cluster.stored, *rooms)
    pages = await asyncio.to_thread(read_pages, clients[0].account, rooms)
    return demand(histories_of(clients, writers), Stored(stored.log, pages, stored.positions), histories_in(folder))


async def roll(cluster: Cluster, clients: Sequence[Client], writers: Sequence[Writer], folder: Path) -> Verdict:
    """Every node ROLLS times, while everybody writes; and the judgement on what they did."""
    async with Running(clients), asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(writer.run()) for writer in writers]
        await go_on(clients)
        for _ in range(ROLLS):
            for node in cluster.nodes:
                await restart(node, clients)
        for writer in writers:
            writer.sending = False
        await asyncio.wait_for(asyncio.gather(*writing), 30)
        verdict = await judged(cluster, clients, writers, folder)
        assert {code for client in clients for code in client.closed} == {RESTARTING}
    return verdict


async def test_nothing_is_lost_and_nobody_is_away_for_longer_than_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with behind_the_proxy(tmp_path) as (cluster, proxy):
        clients = await asyncio.to_thread(crowd, proxy.address, PEOPLE, 2, seed=11, pause=0.05)
        room = clients[0].account.ask("list_rooms")["rooms"][0]["id"]
        writers = [Writer(client.account, room) for client in clients[:WRITERS]]
        async with away_times(clients) as away:
            verdict = await roll(cluster, clients, writers, tmp_path)
    everybody = histories_of(clients, writers)
    refused = [refusal["code"] for history in everybody for refusal in history.refused]
    posted = sum((writer.posted for writer in writers), Counter())
    read = sum((writer.read for writer in writers), Counter())
    heard = sum(len(seen) for client in clients for seen in client.history.seen.values())
    with capsys.disabled():
        print(f"\n{2 * ROLLS} restarts behind the proxy: {verdict}; {heard:,} delivered; {len(refused)} refused;")
        print(f"away for {milliseconds(each.seconds for each in away)}, as asked but for", end=" ")
        print(f"{milliseconds(each.seconds - each.asked for each in away)};")
        print(f"by HTTP: posted {dict(posted)}, read {dict(read)}, the longest", end=" ")
        print(f"{milliseconds([max(writer.longest for writer in writers)])}")
    assert verdict.acknowledged == sum(len(history.attempts) for history in everybody)
    assert set(refused) <= {"unavailable"}
    assert not [client.resets for client in clients if client.resets]
    assert len(away) >= ROLLS * PEOPLE
    assert max(each.seconds - each.asked for each in away) < SLACK
    assert set(posted) <= {200, 503}
    assert set(read) == {200}
