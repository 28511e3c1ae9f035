"""The server is killed again and again, at random moments and under load, and keeps every promise it made.

CHAT_TEST_KILLS says how often; 30 times without.
"""

import asyncio
import os
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults.checker import demand, read_log
from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, until
from tests.running import Server, running

KILLS: Final = int(os.environ.get("CHAT_TEST_KILLS", "30"))
SEED: Final = int(os.environ.get("CHAT_TEST_SEED", "1"))


async def test_no_promise_is_broken_when_the_server_is_killed_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = Random(SEED)
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        clients = crowd(server.address, people=8, rooms=3, seed=SEED)
        async with Running(clients):
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.2, 1.2))
                await kill_and_restart(server, clients)
            verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
    attempts = sum(len(client.history.attempts) for client in clients)
    heard = sum(len(seen) for client in clients for seen in client.history.seen.values())
    connections = sum(client.connections for client in clients)
    latencies = [latency for client in clients for latency in client.latencies]
    with capsys.disabled():
        print(f"\n{KILLS} kills, {len(clients)} clients, {connections} connections, {attempts} sent, {heard} heard;")
        print(f"{verdict}; acknowledged within {milliseconds(latencies)}")
    assert not [client.resets for client in clients if client.resets]
    assert verdict.acknowledged == attempts > 20 * KILLS


async def kill_and_restart(server: Server, clients: list[Client]) -> None:
    """Every promise made so far has to be in the log, whatever has been heard since."""
    before = {client: client.connections for client in clients}
    server.kill()
    await asyncio.to_thread(server.start)
    histories = [client.history for client in clients]
    demand(histories, read_log(server.folder / "chat.db"), server.folder / "histories", at_rest=False)
    await until(lambda: all(client.connections > before[client] for client in clients), "everybody to be back")
