"""The server is killed again and again, at random moments and under load, and keeps every promise it made.

CHAT_TEST_KILLS says how often; 30 times without. More than 200 want pytest's option `-o faulthandler_timeout=0`: else
it is ended after five minutes. CHAT_TEST_SEED varies the moments.
"""

import asyncio
import os
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.faults.checker import demand, histories_in, kept_when_it_fails, read_log
from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, until
from tests.running import Server, running

KILLS: Final = int(os.environ.get("CHAT_TEST_KILLS", "30"))
SEED: Final = int(os.environ.get("CHAT_TEST_SEED", "1"))
PEOPLE: Final = 20
JUDGED: Final = 10  # times on the way: a judgement reads all that there is


async def test_no_promise_is_broken_when_the_server_is_killed_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = Random(SEED)
    folder = histories_in(tmp_path)
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        clients = await asyncio.to_thread(lambda: crowd(server.address, PEOPLE, rooms=3, seed=SEED, pause=0.1))
        histories = [client.history for client in clients]
        with kept_when_it_fails(histories, tmp_path / "chat.db", folder):
            async with Running(clients):
                for number in range(1, KILLS + 1):
                    await asyncio.sleep(chance.uniform(0, 1))
                    await kill_and_restart(server, clients)
                    if number * JUDGED % KILLS < JUDGED:
                        demand(histories, read_log(tmp_path / "chat.db"), folder, at_rest=False)
                verdict = await demand_all(clients, tmp_path / "chat.db", folder)
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
    before = {client: client.connections for client in clients}
    server.kill()
    await asyncio.to_thread(server.start)
    await until(lambda: all(client.connections > before[client] for client in clients), "everybody to be back")
