"""Whoever does not read is sent away, and nobody else pays for it; whoever comes back has missed nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, until
from tests.faults.sockets import connected_ends, local_end, seen_here
from tests.running import Server, running

LAGGING: Final = 4008
LONG: Final = 6_000  # characters of a text: few of them fill every buffer on the way


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        yield server


@asynccontextmanager
async def crowded(server: Server, seed: int, pause: float, length: int) -> AsyncIterator[list[Client]]:
    clients = crowd(server.address, people=8, rooms=2, seed=seed, pause=pause, length=length)
    async with Running(clients):
        await until(lambda: all(client.websocket for client in clients), "everybody to come")
        yield clients


def lags(server: Server) -> int:
    return sum(line["event"] == "socket lags" for line in server.lines())


async def go_on(witness: Client) -> None:
    """Until something was said in every room: who was sent away before has missed it, and must come back for it."""
    before = dict(witness.last)
    await until(lambda: all(witness.last[room] > seq for room, seq in before.items()), "the talk to go on")


async def test_who_stops_reading_is_sent_away_and_resumes_completely(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with crowded(server, seed=1, pause=0.1, length=LONG) as clients:
        stopped, others = clients[0], clients[1:]
        stopped.sending = False
        await until(lambda: stopped.is_answered, "its answers")
        before = [latency for client in others for latency in client.latencies]
        for client in others:
            client.latencies.clear()
        stopped.stop_reading()
        await until(lambda: lags(server) == 1, "the server to send it away")
        await go_on(others[0])
        during = [latency for client in others for latency in client.latencies]
        assert [client.closed for client in others] == [[]] * len(others)
        stopped.read_on()
        verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
    assert stopped.closed[0] == LAGGING
    assert stopped.connections == 2
    assert [client.connections for client in others] == [1] * len(others)
    assert not stopped.resets
    with capsys.disabled():
        print(f"\n{verdict}; the others were answered within {milliseconds(before)} before")
        print(f"and within {milliseconds(during)} while one did not read")


@seen_here
async def test_who_never_reads_again_is_dropped(server: Server, tmp_path: Path) -> None:
    async with crowded(server, seed=2, pause=0.1, length=LONG) as clients:
        stopped = clients[0]
        stopped.sending = False
        await until(lambda: stopped.is_answered, "its answers")
        stopped.stop_reading()
        end = local_end(stopped)
        await until(lambda: lags(server) == 1, "the server to send it away")
        await go_on(clients[1])
        for client in clients:
            client.sending = False
        await until(lambda: end not in connected_ends(server.port), "the server to drop it")
        stopped.read_on()
        await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
    assert stopped.connections == 2


async def test_who_is_cut_off_without_a_word_resumes_completely(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = Random(3)
    async with crowded(server, seed=3, pause=0.03, length=200) as clients:
        for _ in range(60):
            chance.choice(clients[::2]).reset_connection()
            await asyncio.sleep(chance.uniform(0, 0.1))
        verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
    connections = sum(client.connections for client in clients[::2])
    others = clients[1::2]
    with capsys.disabled():
        print(f"\n{verdict}; {connections} connections of those that were cut off, the others were answered within")
        print(milliseconds(latency for client in others for latency in client.latencies))
    assert [client.connections for client in others] == [1] * len(others)
    assert connections > 20
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]
