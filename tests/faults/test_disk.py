"""A disk that is full or fails, under load: nobody is told what is not so, reading goes on, and so does writing as soon
as there is room.
"""

import asyncio
import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.client import Account, Response, request
from tests.faults.checker import Stored, Verdict, demand, histories_in, read_log
from tests.faults.disks import FailingDisk, SmallDisk, chat, small_disk
from tests.faults.load import Client, Running, crowd, demand_all, read_pages, settle, until
from tests.running import Server

FLAGS: Final = ("--registration", "open", "--rate", "0")
PROMPTLY: Final = 30.0  # seconds: ten times what is promised, since a shared machine may stall
OPENED: Final = 300  # times, by another program


class Times(NamedTuple):
    """Seconds after the trouble began or ended."""

    refused: float  # until a command is refused
    unready: float  # until /readyz says so
    ready: float
    written: float  # until a command is carried out

    def __str__(self) -> str:
        return (
            f"unavailable after {self.refused:.2f} s, unready after {self.unready:.2f} s;"
            f" once it works again, ready after {self.ready:.2f} s and written after {self.written:.2f} s"
        )


@contextmanager
def ended_at_last(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        if server.process.poll() is None:
            server.kill()


def rename(owner: Account, room: str) -> Response:
    """A command that sends nothing the checker would have to know of."""
    return owner.post("rename_room", room=room, title=f"Room at {time.monotonic()}")


def readiness(server: Server) -> Response:
    return request(server.address, "GET", "/readyz")


async def seconds_until(holds: Callable[[], bool], what: str) -> float:
    """Asked again and again, on another thread: the clients go on."""
    began = time.monotonic()
    while not await asyncio.to_thread(holds):
        assert time.monotonic() - began < PROMPTLY, f"waited {PROMPTLY} s for {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def is_refused(owner: Account, room: str) -> bool:
    response = rename(owner, room)
    if response.status == 200:
        return False
    assert (response.status, response.json["code"]) == (503, "unavailable"), response
    assert "retry-after" in response.headers
    return True


def is_unready(server: Server) -> bool:
    response = readiness(server)
    if response.status == 200:
        return False
    assert (response.status, response.json["code"]) == (503, "unavailable"), response
    return True


def read_everywhere(owner: Account, room: str) -> None:
    """What was said can be read and found, whether anything can be written or not."""
    assert owner.ask("list_messages", room=room, limit=20)["messages"]
    assert "messages" in owner.ask("search_messages", text="nothing like this")
    assert owner.ask("list_rooms")["rooms"]
    assert request(owner.address, "GET", "/healthz").status == 200


async def live_through(
    server: Server, clients: list[Client], begin: Callable[[], object], end: Callable[[], object]
) -> Times:
    """Trouble that begins under load and ends; everybody goes on afterwards."""
    owner = clients[0].account
    room = sorted(clients[0].last)[0]
    acknowledged = sum(len(client.history.acknowledged) for client in clients)
    begin()
    refused = await seconds_until(lambda: is_refused(owner, room), "a refusal")
    unready = await seconds_until(lambda: is_unready(server), "/readyz to tell")
    refusals = {client: len(client.history.refused) for client in clients}
    await until(lambda: all(len(each.history.refused) > refusals[each] for each in clients), "everybody to be refused")
    await asyncio.to_thread(read_everywhere, owner, room)
    assert await asyncio.to_thread(is_refused, owner, room)
    end()
    written = await seconds_until(lambda: not is_refused(owner, room), "a command to be carried out")
    ready = written + await seconds_until(lambda: not is_unready(server), "/readyz to tell")
    await until(
        lambda: sum(len(client.history.acknowledged) for client in clients) > acknowledged + 50, "the talk to go on"
    )
    return Times(refused, unready, ready, written)


async def come(server: Server, seed: int) -> list[Client]:
    return await asyncio.to_thread(lambda: crowd(server.address, people=6, rooms=2, seed=seed))


async def talk(clients: list[Client]) -> None:
    await until(lambda: all(len(client.history.acknowledged) > 3 for client in clients), "everybody to be heard")


FAULTS: Final = {
    "disk full": (errno.ENOSPC, "write"),
    "a write fails": (errno.EIO, "write"),
    "an fsync fails": (errno.EIO, "sync"),
    "read-only": (errno.EROFS, "write"),
}


@pytest.mark.requires("cc")
async def test_no_promise_is_broken_by_a_disk_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = FailingDisk(tmp_path)
    server = Server(tmp_path, *FLAGS)
    server.environment.update(disk.environment)
    await asyncio.to_thread(server.start)
    with ended_at_last(server):
        clients = await come(server, seed=1)
        histories = [client.history for client in clients]
        async with Running(clients):
            times: dict[str, Times] = {}
            for name, (number, what) in FAULTS.items():
                await talk(clients)
                times[name] = await live_through(server, clients, partial(disk.fail, number, what), disk.work)
            verdict = await demand_all(clients, tmp_path / "chat.db", histories_in(tmp_path))
            for client in clients:
                client.sending = True
            disk.fail(errno.EIO, "sync")
            await until(lambda: any(not client.is_answered for client in clients), "commands to be under way")
            assert await asyncio.to_thread(server.stop) == 0
        disk.work()
        demand(histories, read_log(tmp_path / "chat.db"), histories_in(tmp_path), at_rest=False)
        await asyncio.to_thread(server.start)
        async with Running(clients):
            verdict = await demand_all(clients, tmp_path / "chat.db", histories_in(tmp_path))
        checked = await asyncio.to_thread(chat, tmp_path, "verify")
        assert (checked.returncode, checked.stderr) == (0, "")
    assert not [client.resets for client in clients if client.resets]
    assert not [line for line in server.lines() if "exception" in line or line["level"] == "error"]
    with capsys.disabled():
        print()
        for name, each in times.items():
            print(f"{name}: {each}")
        print(verdict)


async def test_no_promise_is_broken_while_another_program_has_locked_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path, *FLAGS)
    await asyncio.to_thread(server.start)
    with ended_at_last(server), closing(sqlite3.connect(tmp_path / "chat.db", isolation_level=None)) as other:
        clients = await come(server, seed=3)
        async with Running(clients):
            await talk(clients)
            lock, unlock = partial(other.execute, "BEGIN IMMEDIATE"), partial(other.execute, "ROLLBACK")
            times = await live_through(server, clients, lock, unlock)
            verdict = await demand_all(clients, tmp_path / "chat.db", histories_in(tmp_path))
    with capsys.disabled():
        print(f"\nlocked: {times}\n{verdict}")


@pytest.mark.requires("mount")
async def test_no_promise_is_broken_by_a_disk_that_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "small", megabytes=64) as disk:
        server = Server(tmp_path, *FLAGS, database=f"sqlite:{disk.mounted}/chat.db")
        server.script = disk.script
        server.environment.update(disk.environment)
        await asyncio.to_thread(server.start)
        with ended_at_last(server):
            clients = await come(server, seed=2)
            async with Running(clients):
                await talk(clients)
                times = await live_through(server, clients, disk.fill, disk.make_room)
                await asyncio.to_thread(disk.fill)
                refusals = len(clients[0].history.refused)
                await until(lambda: len(clients[0].history.refused) > refusals, "a refusal")
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.to_thread(nothing_starts, server, disk)
                disk.make_room()
                await asyncio.to_thread(server.start)
                await settle(clients)
                verdict = await asyncio.to_thread(judge_copy, server, disk, clients)
    with capsys.disabled():
        print(f"\na full tmpfs: {times}\n{verdict}")


def nothing_starts(server: Server, disk: SmallDisk) -> None:
    flags = ("--port", str(server.port), "--database", f"sqlite:{disk.mounted}/chat.db")
    tried = chat(server.folder, *flags, environment=disk.environment)
    assert tried.returncode == 2
    assert tried.stderr.endswith("chat.db cannot be written to: the disk is full; make room.\n")
    assert tried.stderr.count("\n") == 1


def judge_copy(server: Server, disk: SmallDisk, clients: list[Client]) -> Verdict:
    """Of a backup, which others can open too."""
    database = f"--database=sqlite:{disk.mounted}/chat.db"
    for words in (("verify",), ("backup", "copy.db")):
        done = chat(server.folder, *words, database, environment=disk.environment)
        assert (done.returncode, done.stderr) == (0, "")
    stored = read_log(server.folder / "copy.db")
    pages = read_pages(clients[0].account, list(stored.log))
    histories = [client.history for client in clients]
    return demand(histories, Stored(stored.log, pages, stored.positions), histories_in(server.folder))


@pytest.mark.requires("cc")
async def test_others_may_open_the_file_beside_a_server_whose_disk_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `verify` and `backup` do. None of them takes itself for the first, which would kill the server."""
    disk = FailingDisk(tmp_path)
    server = Server(tmp_path, *FLAGS)
    server.environment.update(disk.environment)
    await asyncio.to_thread(server.start)
    with ended_at_last(server):
        clients = await come(server, seed=4)
        async with Running(clients):
            for number, what in (FAULTS["a write fails"], FAULTS["an fsync fails"]):
                await talk(clients)
                await live_through(server, clients, partial(disk.fail, number, what), disk.work)
                heads = await asyncio.to_thread(heads_seen, tmp_path / "chat.db")
                assert heads == sorted(heads)
                assert heads[0] < heads[-1]
            verdict = await demand_all(clients, tmp_path / "chat.db", histories_in(tmp_path))
        checked = await asyncio.to_thread(chat, tmp_path, "verify")
        assert (checked.returncode, checked.stderr) == (0, "")
        assert await asyncio.to_thread(server.stop) == 0
    with capsys.disabled():
        print(f"\nopened {len(heads)} times by others: {verdict}")


def heads_seen(file: Path) -> list[int]:
    """By one who opens and closes it again and again."""
    heads: list[int] = []
    for _ in range(OPENED):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as other:
            heads += [head for (head,) in other.execute("SELECT max(position) FROM log").fetchall()]
        time.sleep(0.005)
    return heads
