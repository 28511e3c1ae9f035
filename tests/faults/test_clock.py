"""The machine's clock jumps by an hour and by a year, forward and back, under load and over restarts: nothing is lost
and nothing turned round, nobody is sent away by a jump, and a session that a new start takes for expired is refused as
any other is, and no worse for it.

The clock is libfaketime's, which reads its offset from a file each time somebody asks; monotonic time stays true.
"""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client import PASSWORD, Account, Talk, register
from tests.faults.checker import Verdict
from tests.faults.load import RESTARTING, Client, Running, crowd, demand_all, until
from tests.running import ROOT, Server, clean_environment, running

pytestmark = pytest.mark.requires("faketime")

LIBRARY: Final = os.environ.get("CHAT_TEST_FAKETIME") or "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
HOUR: Final = 3_600
YEAR: Final = 365 * 24 * HOUR
JUMPS: Final = {"+1h": HOUR, "-1h": -HOUR, "+1y": YEAR, "-1y": -YEAR}
TRUE: Final = "+0"
UNAUTHENTICATED: Final = 4401


class Clock:
    """What the server takes for the time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self.set(TRUE)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it makes waits for a lock, Python's own too, last for seconds
        }

    def set(self, offset: str) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(offset)
        written.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0", environment=clock.environment) as server:
        yield server


async def go_on(clients: Sequence[Client]) -> None:
    """Until everybody has said some more."""
    before = [len(client.history.acknowledged) for client in clients]
    await until(
        lambda: all(
            len(client.history.acknowledged) > so_far + 20 for client, so_far in zip(clients, before, strict=True)
        ),
        "everybody to go on",
    )


async def restart(server: Server, clock: Clock, offset: str) -> None:
    assert await asyncio.to_thread(server.stop) == 0
    clock.set(offset)
    await asyncio.to_thread(server.start)


def jumps(server: Server) -> list[int]:
    return [line["seconds"] for line in server.lines() if "clock jumped" in line["event"]]


def events(file: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return [json.loads(event) for (event,) in connection.execute("SELECT event FROM log ORDER BY position")]


async def test_a_clock_that_jumps_under_load_changes_nothing(
    server: Server, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = crowd(server.address, people=8, rooms=3, seed=13)
    async with Running(clients):
        for number, (offset, seconds) in enumerate(JUMPS.items()):
            await go_on(clients)
            clock.set(offset)
            await until(lambda: len(jumps(server)) > number, f"a word about {offset}")  # noqa: B023
            assert abs(jumps(server)[-1] - seconds) < HOUR / 10
            await go_on(clients)
            newcomer = await asyncio.to_thread(register, server.address, f"newcomer{number}")
            clock.set(TRUE)
            assert (await asyncio.to_thread(newcomer.ask, "me"))["account"]["id"] == newcomer.id
        await go_on(clients)
        verdict = await demand_all(clients, tmp_path / "chat.db", tmp_path / "histories")
        assert [client.closed for client in clients] == [[]] * len(clients)
        assert [client.connections for client in clients] == [1] * len(clients)
    times = [event["at"] for event in events(tmp_path / "chat.db")]
    assert times == sorted(times)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(times[-1])) < timedelta(seconds=HOUR / 10)
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]
    with capsys.disabled():
        print(f"\nthe clock jumped by {', '.join(JUMPS)} and back each time; {verdict}")


async def test_a_start_in_another_year_loses_no_message_and_no_session_for_good(
    server: Server, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, histories = tmp_path / "chat.db", tmp_path / "histories"
    clients = crowd(server.address, people=6, rooms=2, seed=17)
    old = clients[0].account
    async with Running(clients):
        await go_on(clients)
        await restart(server, clock, "-1y")
        await go_on(clients)
        early = await asyncio.to_thread(register, server.address, "early")
        await demand_all(clients, file, histories)
        assert [client.closed for client in clients] == [[RESTARTING]] * len(clients)

    await restart(server, clock, "+1y")
    await is_refused(old)
    for client in clients:
        client.account = log_in(client.account)
    await everybody_talks(clients, file, histories)

    await restart(server, clock, TRUE)
    await is_refused(early)  # its session was given a year ago
    for account in (old, clients[0].account, log_in(early)):
        await is_welcome(account)
    verdict = await everybody_talks(clients, file, histories)

    assert await asyncio.to_thread(server.stop) == 0
    log = events(file)
    times = sorted(datetime.fromisoformat(event["at"]) for event in log)
    assert times[-1] - times[0] > timedelta(seconds=2 * YEAR - HOUR)
    names_are_unique(log)
    verify(tmp_path)
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]
    with capsys.disabled():
        print(f"\nstarted a year back, a year ahead and today; {verdict}")


def log_in(account: Account) -> Account:
    token = Account(account.address).do("log_in", name=account.name, password=PASSWORD)["token"]
    return Account(account.address, token, account.name)


async def everybody_talks(clients: Sequence[Client], file: Path, histories: Path) -> Verdict:
    for client in clients:
        client.sending = True
    async with Running(clients):
        await go_on(clients)
        return await demand_all(clients, file, histories)


def test_starts_at_the_very_same_moment_share_no_id(server: Server, clock: Clock, tmp_path: Path) -> None:
    """Each time the clock is set to the same second, where it stands still."""
    for number in range(4):
        server.kill()
        clock.set("2020-01-01 00:00:00")
        server.start()
        account = register(server.address, f"somebody{number}")
        for _ in range(3):
            assert account.do("create_room", title="Room", kind="public")["seq"] == 1
    log = events(tmp_path / "chat.db")
    assert {event["at"][:16] for event in log} == {"2020-01-01T00:00"}
    names_are_unique(log)


async def is_refused(account: Account) -> None:
    """By every door, with a word."""
    response = account.get("me")
    assert (response.status, response.json["code"]) == (401, "unauthenticated")
    async with Talk(account) as talk:
        assert (await talk.end()).code == UNAUTHENTICATED


async def is_welcome(account: Account) -> None:
    assert account.ask("me")["account"]["id"] == account.id
    async with Talk(account) as talk:
        assert (await talk.next())["type"] == "hello"


def names_are_unique(log: Sequence[dict[str, Any]]) -> None:
    for type, field in ("room_created", "room"), ("account_registered", "account"), ("session_started", "session"):
        names = [event[field] for event in log if event["type"] == type]
        assert len(set(names)) == len(names) > 1


def verify(folder: Path) -> None:
    """What is folded equals a fresh fold, whatever the years say."""
    command = [sys.executable, str(ROOT / "chat.py"), "verify", "--database", "sqlite:chat.db"]
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
