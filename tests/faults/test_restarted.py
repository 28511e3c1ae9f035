"""The server is asked to end, under load, and started again: nobody loses anything, and everybody stays away for as
long as they are asked to.

CHAT_TEST_RESTARTS says how often; 5 times without.
"""

import asyncio
import http.client
import os
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.client import Talk, register
from tests.faults.load import RESTARTING, Client, Running, crowd, demand_all, milliseconds, until
from tests.faults.sockets import small
from tests.running import Server, running

RESTARTS: Final = int(os.environ.get("CHAT_TEST_RESTARTS", "5"))
ENDS_WITHIN: Final = 10.0  # seconds: what a container is given
BETWEEN: Final = 300  # messages acknowledged between two restarts


def acknowledged(clients: list[Client]) -> int:
    return sum(len(client.history.acknowledged) for client in clients)


async def test_restarts_under_load_lose_nothing_and_everybody_is_told_when_to_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endings = []
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        clients = crowd(server.address, people=10, rooms=3, seed=7, pause=0.01)
        async with Running(clients):
            for number in range(RESTARTS):
                await until(lambda: all(client.websocket for client in clients), "everybody to be back")
                await until(lambda: acknowledged(clients) > BETWEEN * (number + 1), "some load")  # noqa: B023
                endings.append(await end(server))
                await asyncio.to_thread(server.start)
            verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
            assert [client.closed for client in clients] == [[RESTARTING] * RESTARTS] * len(clients)
        attempts = sum(len(client.history.attempts) for client in clients)
        refused = sum(len(client.history.refused) for client in clients)
        with capsys.disabled():
            print(f"\n{RESTARTS} restarts, {attempts} sent, {refused} refused meanwhile; {verdict};")
            print(f"it ended within {milliseconds(endings)};")
            print(f"they were asked to stay away for {milliseconds(hint for each in clients for hint in each.hints)}")
        assert verdict.acknowledged == attempts
        assert [len(client.hints) for client in clients] == [RESTARTS] * len(clients)
        assert not [client.resets for client in clients if client.resets]
        assert not [line for line in server.lines() if line["level"] in ("error", "critical")]


async def end(server: Server) -> float:
    """By SIGTERM; how long it takes, in seconds."""
    start = time.monotonic()
    server.signal(signal.SIGTERM)
    await until(lambda: server.process.poll() is not None, "the server to end", ENDS_WITHIN)
    assert server.process.returncode == 0
    return time.monotonic() - start


async def test_a_server_that_drains_is_alive_and_not_ready(tmp_path: Path) -> None:
    """Somebody who reads nothing, though there is much to read, keeps it draining; and no longer than it may."""
    with running(tmp_path, "--rate", "0") as server:
        ann = register(server.address, "ann")
        room = ann.do("create_room", title="Loud", kind="private")["room"]
        async with Talk(ann, sock=await small(server.address, 4_096)()) as deaf:
            await deaf.next()
            deaf.websocket.transport.pause_reading()
            for _ in range(40):  # some of it stays with the server, and not enough to be sent away for
                ann.do("send_message", room=room, text="…" * 7_000)
            kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            assert await asyncio.to_thread(status, kept, "/readyz") == 200
            server.signal(signal.SIGTERM)
            while (ready := await asyncio.to_thread(status, kept, "/readyz")) == 200:
                pass
            assert ready == 503
            assert await asyncio.to_thread(status, kept, "/healthz") == 200
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: server.process.poll() is not None, "the server to end", ENDS_WITHIN)
            assert server.process.returncode == 0
            deaf.websocket.transport.resume_reading()
        kept.close()


def status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status
