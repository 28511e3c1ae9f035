"""A hundred who read slowly and a hundred who stop reading, beside a hundred who read: the stopped are freed, memory is
bounded, the healthy do not suffer, and all of them have heard everything in the end.

The slow ones sit behind the fault proxy. CHAT_TEST_READERS says how many of each kind there are, in tens; 100 without.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client import Account
from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, until
from tests.faults.proxy import FINE, Proxy, Weather
from tests.faults.sockets import connected_ends, local_end, seen_here, small
from tests.running import Server, running

READERS: Final = int(os.environ.get("CHAT_TEST_READERS", "100"))
EACH: Final = 10  # connections of one account
SENDERS: Final = 5
# 21,000 bytes of a text: few of them fill every buffer.
TALK: Final[dict[str, Any]] = {"pause": 1.0, "length": 7_000, "filler": "…"}
MEASURED: Final = 60  # acknowledgements
SLOW: Final = Weather(rate=20_000)
RECEIVED: Final = 32 * 1024  # bytes that the sockets of those who stop buffer
FREED_WITHIN: Final = 45.0  # seconds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        yield server


def many(address: str, accounts: Iterable[Account], **options: Any) -> list[Client]:
    """Several connections of each account, at this address, that do not send."""
    clients = []
    for number, account in enumerate(accounts):
        there = Account(address, account.token, account.name)
        clients += [Client(there, 100 * number + index, tag=f".{index}", **TALK, **options) for index in range(EACH)]
    for client in clients:
        client.sending = False
    return clients


def memory(server: Server, which: str) -> float:
    """In MiB: `VmRSS`, what it has, or `VmHWM`, the most that it ever had."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    kilobytes = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.strip()}
    return int(kilobytes[which]) / 1024


def lags(server: Server) -> int:
    return sum(line["event"] == "socket lags" for line in server.lines())


async def measured(senders: list[Client]) -> list[float]:
    """How long the next acknowledgements take, sorted."""
    for client in senders:
        client.latencies.clear()
    await until(lambda: sum(len(client.latencies) for client in senders) >= MEASURED, "the talk to go on", 60)
    return sorted(latency for client in senders for latency in client.latencies)


@seen_here
async def test_neither_slow_nor_stopped_readers_harm_the_others(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = READERS // EACH
    accounts = [client.account for client in crowd(server.address, people=3 * share, rooms=1, seed=19)]
    async with Proxy(server.port) as proxy:
        healthy = many(server.address, accounts[:share])
        stopped = many(server.address, accounts[share : 2 * share], dial=small(server.address, RECEIVED))
        slow = many(proxy.address, accounts[2 * share :])
        everybody, senders = [*healthy, *stopped, *slow], healthy[:SENDERS]
        async with Running(everybody):
            await until(lambda: all(client.websocket for client in everybody), "everybody to come")
            for client in senders:
                client.sending = True
            before, little = await measured(senders), memory(server, "VmRSS")

            for client in stopped:
                client.stop_reading()
            proxy.to_client.weather = SLOW
            start = time.monotonic()
            ends = {local_end(client) for client in stopped}
            during = await measured(senders)
            await until(lambda: not ends & connected_ends(server.port), "the stopped to be freed", FREED_WITHIN)
            freed = time.monotonic() - start
            await until(lambda: lags(server) >= len(stopped) + len(slow), "the slow to be sent away", FREED_WITHIN)
            assert [client.closed for client in healthy] == [[]] * len(healthy)
            most = memory(server, "VmHWM")

            for client in stopped:
                client.read_on()
            proxy.to_client.weather = FINE
            verdict = await demand_all(everybody, tmp_path / "chat.db", tmp_path / "histories")
            assert [client.connections for client in healthy] == [1] * len(healthy)
            assert [client.connections for client in stopped] == [2] * len(stopped)
            assert not [client.resets for client in everybody if client.resets]
            assert min(client.connections for client in slow) > 1
    comings = sum(client.connections for client in slow)
    with capsys.disabled():
        print(f"\n{READERS} of each kind, the slow ones came {comings} times; {verdict};")
        print(f"the healthy were answered within {milliseconds(before)} before,")
        print(f"and within {milliseconds(during)} beside slow and stopped readers;")
        print(f"the stopped were freed within {freed:.1f} s; {little:.0f} MiB of memory became {most:.0f}")
    assert during[len(during) * 99 // 100] < 10 * before[len(before) * 99 // 100]
    assert most - little < 2 * len(stopped + slow)  # MiB: twice what each of them may leave unsent
