"""Two nodes under load, with clients on both, while one thing after the other goes wrong around them: every message
that was acknowledged is there once and in order, for everybody who stays or comes back.

While only the broker is away nothing is refused, and nobody waits for it. While the database is away everything is
refused as `unavailable`, and goes on within seconds of its return.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from tests.faults.load import Client, Running, crowd, demand_of, milliseconds, settle, until
from tests.faults.proxy import BLACK_HOLE, FINE, Proxy
from tests.nodes.cluster import Cluster, ready, wait_until_ready

pytestmark = pytest.mark.requires("postgresql", "rabbitmq")

PEOPLE: Final = 8
ROOMS: Final = 2
BACK: Final = 5.0  # seconds from the return of the database to the next acknowledgement
_crowds = count(1)

Befall = Callable[[Cluster, Sequence[Client]], Awaitable[str]]


async def under_load(cluster: Cluster, befall: Befall, folder: Path) -> tuple[list[Client], str]:
    """Half of the clients on each of the last two nodes, for as long as it takes; and what to say of it."""
    number = next(_crowds)
    nodes = cluster.nodes[-2:]
    clients = await asyncio.to_thread(
        crowd, nodes[0].address, PEOPLE, ROOMS, number, f"f{len(cluster.nodes)}x{number}c", pause=0.04
    )
    for client in clients[1::2]:
        client.account.address = nodes[1].address
    async with Running(clients):
        await go_on(clients)
        told = await befall(cluster, clients)
        await go_on(clients)
        await settle(clients, lambda: cluster.heads(*clients[0].last))
        stored = await asyncio.to_thread(cluster.stored, *clients[0].last)
        verdict = await demand_of(clients, stored, folder / "histories")
    heard = sum(len(seen) for client in clients for seen in client.history.seen.values())
    refused = sum(len(client.history.refused) for client in clients)
    latencies = milliseconds(latency for client in clients for latency in client.latencies)
    silence = max(client.silence for client in clients)
    summary = (
        f"{verdict}; {heard:,} delivered; {refused} refused; {told}; acknowledged within {latencies};"
        f" longest gap {silence:.1f} s"
    )
    return clients, summary


async def go_on(clients: Sequence[Client], messages: int = 10) -> None:
    before = {client: len(client.history.acknowledged) for client in clients}
    await until(
        lambda: all(len(client.history.acknowledged) >= before[client] + messages for client in clients),
        "everybody to send and be answered",
    )


def acknowledged(clients: Sequence[Client]) -> int:
    return sum(len(client.history.acknowledged) for client in clients)


# ---- the broker


async def rabbit_stopped(cluster: Cluster, clients: Sequence[Client]) -> str:
    await asyncio.to_thread(cluster.rabbit.stop)
    until_then = time.monotonic() + 30
    for node in cluster.nodes:
        await asyncio.to_thread(wait_until_ready, node, "away")
    before = acknowledged(clients)
    while time.monotonic() < until_then:
        await go_on(clients)
        for node in cluster.nodes:
            assert await asyncio.to_thread(ready, node)
    during = acknowledged(clients) - before
    await asyncio.to_thread(cluster.rabbit.start)
    return f"{during:,} acknowledged while it was away"


async def rabbit_killed(cluster: Cluster, clients: Sequence[Client]) -> str:
    await asyncio.to_thread(cluster.rabbit.kill)
    await go_on(clients)
    await asyncio.to_thread(cluster.rabbit.start)
    return "killed and started"


async def connections_closed(cluster: Cluster, clients: Sequence[Client]) -> str:
    for _ in range(3):
        await asyncio.to_thread(cluster.rabbit.close_all_connections)
        await go_on(clients)
    return "closed 3 times"


async def queue_deleted(cluster: Cluster, clients: Sequence[Client]) -> str:
    queues = [name for name in await asyncio.to_thread(cluster.rabbit.queues) if name.startswith("chat.node.")]
    assert len(queues) == 2
    for queue in queues:
        await asyncio.to_thread(cluster.rabbit.delete_queue, queue)
        await go_on(clients)
    return f"{len(queues)} queues deleted"


@pytest.mark.parametrize("befall", [rabbit_stopped, rabbit_killed, connections_closed, queue_deleted])
async def test_without_the_broker_everything_goes_on(
    cluster: Cluster, befall: Befall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients, told = await under_load(cluster, befall, tmp_path)
    with capsys.disabled():
        print(f"\n{befall.__name__}: {told}")
    assert not [client.history.refused for client in clients if client.history.refused]
    assert [client.connections for client in clients] == [1] * PEOPLE
    await asyncio.to_thread(cluster.restore)  # both find the broker again


async def test_a_node_that_is_cut_off_from_the_broker_without_a_word_notices_and_misses_nothing(
    standing: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Proxy(standing.rabbit.port) as proxy:
        node = await asyncio.to_thread(standing.add, broker=standing.rabbit.url_by(port=proxy.port))
        await asyncio.to_thread(standing.restore)

        async def cut(cluster: Cluster, clients: Sequence[Client]) -> str:
            start = time.monotonic()
            proxy.to_server.weather = proxy.to_client.weather = BLACK_HOLE
            await asyncio.to_thread(wait_until_ready, node, "away")
            noticed = time.monotonic() - start
            await go_on(clients)
            proxy.to_server.weather = proxy.to_client.weather = FINE
            await asyncio.to_thread(wait_until_ready, node, "ok")
            return f"noticed after {noticed:.1f} s"

        clients, told = await under_load(standing, cut, tmp_path)
        with capsys.disabled():
            print(f"\ncut off: {told}")
        assert not [client.history.refused for client in clients if client.history.refused]
        assert [client.connections for client in clients] == [1] * PEOPLE
        assert await asyncio.to_thread(node.stop) == 0
        standing.nodes.remove(node)


# ---- a node


async def node_killed(cluster: Cluster, clients: Sequence[Client]) -> str:
    node = cluster.nodes[1]
    await asyncio.to_thread(node.kill)
    await go_on(clients[::2])
    await asyncio.to_thread(node.start)
    return "killed and started"


async def node_paused(cluster: Cluster, clients: Sequence[Client]) -> str:
    """It may have held the lock: the others are refused for no longer than that takes to be found out."""
    node = cluster.nodes[1]
    node.signal(signal.SIGSTOP)
    await asyncio.sleep(20)
    await go_on(clients[::2])
    node.signal(signal.SIGCONT)
    return "paused for 20 s"


@pytest.mark.parametrize("befall", [node_killed, node_paused])
async def test_without_one_node_the_other_goes_on(
    cluster: Cluster, befall: Befall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients, told = await under_load(cluster, befall, tmp_path)
    with capsys.disabled():
        print(f"\n{befall.__name__}: {told}")
    assert {refused["code"] for client in clients for refused in client.history.refused} <= {"unavailable"}
    assert [client.connections for client in clients[::2]] == [1] * (PEOPLE // 2)


# ---- the database


async def postgres_restarted(cluster: Cluster, clients: Sequence[Client]) -> str:
    await asyncio.to_thread(cluster.postgres.stop, "fast")
    return await back(cluster, clients)


async def postgres_gone(cluster: Cluster, clients: Sequence[Client]) -> str:
    await asyncio.to_thread(cluster.postgres.stop, "immediate")
    await asyncio.sleep(20)
    return await back(cluster, clients)


async def postgres_frozen(cluster: Cluster, clients: Sequence[Client]) -> str:
    cluster.postgres.pause()
    await asyncio.sleep(10)
    start = time.monotonic()
    cluster.postgres.resume()
    return await told_when_back(clients, start)


async def back(cluster: Cluster, clients: Sequence[Client]) -> str:
    await asyncio.to_thread(cluster.postgres.start)
    return await told_when_back(clients, time.monotonic())


async def told_when_back(clients: Sequence[Client], since: float) -> str:
    await go_on(clients, messages=1)
    return f"everybody sends again {time.monotonic() - since:.1f} s after its return"


@pytest.mark.parametrize("befall", [postgres_restarted, postgres_gone, postgres_frozen])
async def test_without_the_database_it_is_unavailable_and_then_goes_on(
    cluster: Cluster, befall: Befall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients, told = await under_load(cluster, befall, tmp_path)
    after = milliseconds(seconds for client in clients for seconds in client.refused_after)
    with capsys.disabled():
        print(f"\n{befall.__name__}: {told}; refused after {after}")
    assert {refused["code"] for client in clients for refused in client.history.refused} == {"unavailable"}
    assert [client.connections for client in clients] == [1] * PEOPLE  # who only waits is not sent away
