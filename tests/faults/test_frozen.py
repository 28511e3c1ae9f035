"""The process stands still for a while, as under a debugger, on a suspended machine or in a container out of its share:
who waits gets an answer afterwards, nobody is sent away, and nothing is lost.

CHAT_TEST_FROZEN says for how many seconds; 6 without, which is more than an idle HTTP connection is kept. From 25 on
the pings that keep websockets alive fall due meanwhile.
"""

import asyncio
import http.client
import os
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.client import Account, Talk, register
from tests.faults.load import Running, crowd, demand_all, milliseconds, until
from tests.running import Server, running, wait_for

FROZEN: Final = float(os.environ.get("CHAT_TEST_FROZEN", "6"))


async def test_a_server_that_stands_still_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        clients = crowd(server.address, people=12, rooms=3, seed=11)
        quiet = await asyncio.to_thread(register, server.address, "quiet")
        room = next(iter(await asyncio.to_thread(rooms_of, clients[0].account)))
        await asyncio.to_thread(quiet.do, "join_room", room=room)
        async with Talk(quiet, ping_interval=None) as listening, Running(clients):
            hello = await listening.next()
            await until(lambda: all(len(client.latencies) > 50 for client in clients), "some load")
            before = {client: len(client.history.acknowledged) for client in clients}
            await freeze(server, quiet)
            await until(
                lambda: all(len(client.history.acknowledged) > before[client] + 50 for client in clients),
                "everybody to go on",
            )
            verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
            await listening.ask("me")  # what was told before it has been heard
            assert [client.closed for client in clients] == [[]] * len(clients)
        latencies = [latency for client in clients for latency in client.latencies]
        with capsys.disabled():
            print(f"\nfrozen for {FROZEN:g} s; {verdict}; acknowledged within {milliseconds(latencies)}")
        assert [client.connections for client in clients] == [1] * len(clients)
        first = next(each["seq"] for each in hello["rooms"] if each["id"] == room)
        heard = listening.events(room)
        assert heard == list(range(first + 1, first + 1 + len(heard)))
        assert len(heard) == clients[0].last[room] - first
        assert not [line for line in server.lines() if line["level"] in ("error", "critical")]


def rooms_of(account: Account) -> list[str]:
    return [room["id"] for room in account.ask("list_rooms")["rooms"]]


async def freeze(server: Server, account: Account) -> None:
    """Somebody who comes and somebody who asks meanwhile are served afterwards."""
    server.signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        coming = asyncio.create_task(come(account))
        asking = asyncio.create_task(asyncio.to_thread(ask, server, "/healthz"))
        await asyncio.sleep(FROZEN)
        assert not coming.done()
        assert not asking.done()
    finally:
        server.signal(signal.SIGCONT)
    assert await asking == 200
    await coming
    # What it knows of the log may be too old at first, by its own clock.
    await asyncio.to_thread(wait_for, lambda: ask(server, "/readyz") == 200, "it to be ready again")
    assert time.monotonic() - start >= FROZEN


def ask(server: Server, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=FROZEN + 20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


async def come(account: Account) -> None:
    async with Talk(account, open_timeout=FROZEN + 20) as talk:
        assert (await talk.next(FROZEN + 20))["type"] == "hello"
