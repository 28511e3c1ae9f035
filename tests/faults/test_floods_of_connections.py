"""Floods of connections: the server greets, refuses or cuts off each as its bounds say, stays well meanwhile, and has
nothing left of them afterwards.

CHAT_TEST_SOCKETS says how many websockets are opened at once; 10,000 without, or what the limit of files allows.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from chat.infra.server import SPARE_FILES
from tests.client import Account, register, request
from tests.faults.flooding import (
    MEGABYTE,
    Growth,
    Peer,
    Process,
    connect,
    handshake,
    has_nothing_to_regret,
    many_files,
    part,
    stranger,
)
from tests.faults.healthy import Healthy
from tests.faults.load import until
from tests.running import Server, altered, running

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has open is not shown here")

SOCKETS: Final = int(os.environ.get("CHAT_TEST_SOCKETS", "10000"))
AT_ONCE: Final = 250  # handshakes
NEIGHBOUR: Final = "127.0.0.2"  # of this machine, but another address than everybody else's
SPARE: Final = 2_500  # files that a server, or a test, has beside the websockets


@asynccontextmanager
async def beside(server: Server) -> AsyncIterator[Healthy]:
    """Somebody healthy, as long as a flood lasts. Afterwards everything is given back, to the last file."""
    account = register(server.address, "healthy")
    room = account.do("create_room", title="Quiet", kind="public")["room"]
    async with Healthy(account, room):  # the server opens what it reads with when it is first asked
        await asyncio.gather(*(asyncio.to_thread(account.ask, "list_messages", room=room) for _ in range(32)))
    process = Process(server)
    files = await settled(process)
    async with Healthy(account, room) as somebody:
        yield somebody
    with suppress(AssertionError):
        await until(lambda: process.files == files, "the server to close what it opened")
    assert process.files == files
    assert await asyncio.to_thread(lambda: process.sockets) == 0
    has_nothing_to_regret(server)


async def settled(process: Process) -> Counter[str]:
    """What the server has open once that stays what it is."""
    before = process.files
    while True:
        await asyncio.sleep(0.2)
        after = process.files
        if after == before:
            return after
        before = after


# ---- handshakes


@pytest.fixture
def files() -> Iterator[int]:
    with many_files() as files:
        yield files


async def test_ten_thousand_are_greeted_and_nothing_is_left_of_them(
    tmp_path: Path, files: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = min(SOCKETS, files - SPARE)
    with running(tmp_path, "--registration", "open", "--rate", "0", "--sockets", str(count + 1)) as server:
        account = register(server.address, "many")
        async with beside(server) as somebody:
            before, start = Process(server).resident, time.monotonic()
            peers: list[Peer] = []
            while len(peers) < count:
                batch = min(AT_ONCE, count - len(peers))
                new = await asyncio.gather(*(connect(server, handshake(account)) for _ in range(batch)))
                await until(lambda: all(peer.is_greeted for peer in new), "a hello for everybody")  # noqa: B023
                peers += new
            took = time.monotonic() - start
            taken = Process(server).resident - before
            assert await asyncio.to_thread(lambda: Process(server).sockets) == count + 1
            part(peers)
            await until(lambda: all(peer.over for peer in peers), "everybody to be gone")
    with capsys.disabled():
        print(f"\n{count} of {SOCKETS} websockets greeted in {took:.1f} s, {taken / count / 1024:.1f} KiB each;")
        print(somebody)
    assert taken / count < 100 * 1024


async def test_who_comes_and_goes_in_the_middle_of_a_handshake_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every byte of it; the moment after it is not spared either."""
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        account = register(server.address, "hasty")
        async with beside(server) as somebody:
            with Growth(server) as growth:
                for data in (handshake(account), handshake(Account(server.address, "nobody.nothing"))):
                    for cut in [*range(0, len(data), 3), *[len(data)] * 200]:
                        peer = await connect(server, data[:cut])
                        await asyncio.sleep(0)
                        peer.transport.abort()
    with capsys.disabled():
        print(f"\nhandshakes cut off everywhere: {growth}; {somebody}")
    assert growth.bytes < 50 * MEGABYTE


# ---- too many


@pytest.fixture
def far() -> str:
    """Where somebody asks from who is not on this machine."""
    return stranger() or pytest.skip("this machine is in no network")


@pytest.mark.parametrize(
    ("files", "share", "refused"), [(None, 100, 32), (924, 208, 11)], ids=["files enough", "few files"]
)
async def test_an_address_has_its_share_and_whoever_is_beyond_it_is_told_when_to_come_back(
    tmp_path: Path, far: str, capsys: pytest.CaptureFixture[str], files: int | None, share: int, refused: int
) -> None:
    """A few dozen of them; the others are cut off, so that they do not fill the house by being refused."""
    sockets = 10_000 if files else 400
    with serving(tmp_path, files, "--registration", "open", "--sockets", str(sockets)) as server:
        async with beside(server) as somebody:
            count = await crowd(server, 1_200, far)
    with capsys.disabled():
        print(f"\n1,200 connections of one address that may have {share}: {dict(count)}; {somebody}")
    assert count == {None: share, 429: refused, "cut off": 1_200 - share - refused}


@contextmanager
def serving(folder: Path, files: int | None, *flags: str) -> Iterator[Server]:
    """A server whose connections may have so many files."""
    server = Server(folder, *flags)
    if files:
        most = f"({files + SPARE_FILES}, {files + SPARE_FILES})"
        server.script = altered(folder, "import resource", f"resource.setrlimit(resource.RLIMIT_NOFILE, {most})")
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def test_of_this_machine_nobody_is_cut_off_while_there_are_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--registration", "open", "--sockets", "400") as server:
        async with beside(server) as somebody:
            count = await crowd(server, 1_200, NEIGHBOUR)
    with capsys.disabled():
        print(f"\n1,200 connections of this machine: {dict(count)}; {somebody}")
    assert count == {None: 100, 429: 1_100}


async def test_when_everybody_else_is_cut_off_its_health_checks_are_answered(
    tmp_path: Path, far: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--registration", "open", "--sockets", "50", "--rate", "0") as server:
        async with beside(server) as somebody:
            count = await crowd(server, 2_500, far)
    with capsys.disabled():
        print(f"\n2,500 connections where there are files for 2,050: {dict(count)}; {somebody}")
    assert count.keys() == {None, 503, "cut off"}
    assert 1_045 <= count[None] <= 1_050
    assert 2_010 <= count[None] + count[503] <= 2_018


async def test_so_does_whoever_comes_when_the_house_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, "--registration", "open", "--sockets", "50", "--rate", "0") as server:
        async with beside(server) as somebody:
            count = await crowd(server, 1_900)
    with capsys.disabled():
        print(f"\n1,900 connections where there is room for 1,050: {dict(count)}; {somebody}")
    assert count.keys() == {None, 503}
    assert 1_045 <= count[None] <= 1_050


async def test_handshakes_of_strangers_are_counted_and_leave_no_line_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor do they answer the goodbye. A line for each would fill the disk, and then nothing can be said any more."""
    with running(tmp_path, "--registration", "open") as server:
        async with beside(server) as somebody:
            before = len(server.lines())
            peers = [await connect(server, handshake(Account("", "a.b"))) for _ in range(500)]
            await until(lambda: all(peer.over for peer in peers), "everybody to be gone")
            lines = len(server.lines()) - before
            metrics = (await asyncio.to_thread(request, server.address, "GET", "/metrics")).body
    with capsys.disabled():
        print(f"\n500 handshakes without a token: {lines} lines; {somebody}")
    assert {peer.code for peer in peers} <= {4401, 4429}
    assert b'chat_drops_total{reason="close_unanswered"} 500.0' in metrics
    assert lines == 0


async def crowd(server: Server, count: int, source: str = "") -> "Counter[int | str | None]":
    """So many connections that stay; then each of them asks for something, those that came first at last. What they
    are answered: None stands for those that stay silent, because there is room for them.
    """
    peers = [await connect(server, source=source) for _ in range(count)]
    await asyncio.sleep(0.5)  # a cut takes a moment to be noticed
    silent = peers[: count // 20]
    answered: Counter[int | str | None] = Counter()
    for peer in reversed(peers):
        if peer.over:
            answered["cut off"] += 1
        elif peer not in silent:
            peer.say(b"GET /api/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await until(lambda: all(peer.over for peer in peers if peer not in silent), "an answer for everybody")
    for peer in peers:
        if peer in silent or peer.status == 401:
            answered[None] += 1
        elif peer.status:
            answered[peer.status] += 1
            assert b"retry-after: " in peer.heard
            assert b"application/problem+json" in peer.heard
    for peer in silent:
        peer.transport.abort()
    return answered


# ---- slow


async def test_two_thousand_that_dawdle_are_cut_off_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of them with half a head. The others take their time over the next line, say nothing at all, have had an
    answer and go on with a byte now and then, or wait before a websocket that there is none.
    """
    kinds = {
        "half a head": (b"GET / HTTP/1.1\r\nHost", b"", 1_000),
        "line by line": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n", 400),
        "not a word": (b"", b"", 300),
        "a body that nobody wants": (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", b"x", 150),
        "nothing but line ends": (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n", 100),
        "half a handshake": (handshake(Account("", "a.b"))[:-4], b"", 50),
    }
    with running(tmp_path, "--registration", "open") as server:
        async with beside(server) as somebody:
            start = time.monotonic()
            with Growth(server) as growth:
                peers = [
                    (await connect(server, data), drip) for data, drip, count in kinds.values() for _ in range(count)
                ]
                opened = time.monotonic() - start
                while not all(peer.over for peer, _ in peers):
                    assert time.monotonic() - start < 100, Counter(drip for peer, drip in peers if not peer.over)
                    for peer, drip in peers:
                        peer.say(drip)
                    await asyncio.sleep(0.5)
                took = time.monotonic() - start
    with capsys.disabled():
        print(f"\n{len(peers)} dawdlers opened in {opened:.1f} s, all gone after {took:.1f} s; {growth}; {somebody}")
    assert {peer.status for peer, _ in peers} == {None, 404}
    assert growth.bytes < 100 * MEGABYTE


# ---- many requests on a connection


async def test_requests_behind_one_another_whose_answers_nobody_reads_cost_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--registration", "open") as server:
        async with beside(server) as somebody:
            ask = b"GET /web/store.js HTTP/1.1\r\nHost: x\r\n\r\n"
            with Growth(server) as growth:
                peers = [await connect(server, buffer=4_096) for _ in range(100)]
                for number, peer in enumerate(peers):
                    peer.transport.pause_reading()
                    peer.say(ask * (15 if number < 50 else 1_000))  # so many may wait; and so many may not
                await asyncio.sleep(1)
                for peer in peers:
                    peer.transport.resume_reading()
                await until(lambda: all(answers(peer) == 15 for peer in peers[:50]), "what was asked for")
                await until(lambda: all(peer.over for peer in peers[50:]), "the others to be cut off")
                for peer in peers[:50]:
                    peer.transport.abort()
    with capsys.disabled():
        print(f"\n100 connections of 15 and 1,000 requests that read nothing: {growth}; {somebody}")
    assert max(answers(peer) for peer in peers[50:]) < 20
    assert growth.bytes < 100 * MEGABYTE


def answers(peer: Peer) -> int:
    return peer.heard.count(b"HTTP/1.1 200 ")
