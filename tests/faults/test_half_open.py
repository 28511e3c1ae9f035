"""Clients vanish without a word: the cable to their machine is pulled. The server frees what they had, whether it had
something to tell them or not, serves the others meanwhile, and they come back to everything."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.client import register
from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, until
from tests.faults.namespace import Namespace, namespace
from tests.faults.sockets import connected_ends, local_end
from tests.running import Server, running

pytestmark = pytest.mark.requires("netns")

FREED_WITHIN: Final = 45.0  # seconds


@pytest.fixture
def machine() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture
def server(machine: Namespace, tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0", host=machine.here) as server:
        yield server


def set_up(server: Server) -> None:
    """An address that others can reach: the first account takes the link that was logged."""
    [link] = [line["open"] for line in server.lines() if "open" in line]
    register(server.address, "owner", invite=link.rpartition("/")[2])


async def test_who_vanishes_is_freed_and_resumes_completely(
    machine: Namespace, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(server)
    clients = crowd(server.address, people=5, rooms=2, seed=23, pause=0.5)
    idle = Client(register(server.address, "idle"), seed=29)  # in no room: it is told nothing but pings
    gone, others = [clients[0], idle], clients[1:]
    for client in gone:
        client.dial = partial(machine.connect, server.port)
    idle.sending = False
    async with Running([*clients, idle]):
        await until(lambda: all(client.latencies for client in clients) and idle.connections == 1, "some load")
        ends = [local_end(client) for client in gone]
        assert [address for address, _ in ends] == [machine.there] * 2
        machine.pull()
        start = time.monotonic()
        for client in others:
            client.latencies.clear()
        waits = await asyncio.gather(*(freed(server, end, start) for end in ends))
        during = [latency for client in others for latency in client.latencies]
        assert [client.closed for client in [*others, *gone]] == [[]] * (len(others) + 2)  # nobody was told anything

        for client in gone:
            client.reset_connection()
        machine.mend()
        await until(lambda: [client.connections for client in gone] == [2, 2], "them to come back")
        before = len(clients[0].latencies)
        await until(lambda: len(clients[0].latencies) > before, "an answer")
        verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
        assert [client.connections for client in others] == [1] * len(others)
        assert not clients[0].resets
    with capsys.disabled():
        print(
            f"\n{verdict}; one that was talked to was freed within {waits[0]:.1f} s, an idle one within {waits[1]:.1f},"
        )
        print(f"and the others were answered within {milliseconds(during)} meanwhile")
    assert len(during) > 50
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]


async def freed(server: Server, end: tuple[str, int], start: float) -> float:
    await until(lambda: end not in connected_ends(server.port), "the server to let go of it", FREED_WITHIN)
    return time.monotonic() - start
