"""Floods of frames, and bodies that are bombs: each ends with the right code or refusal, costs little memory, leaves no
trace in the log, and is not felt by whoever just wants to chat beside it. All at the rates that are set by default.

CHAT_TEST_MALFORMED says how many malformed frames are sent; 20,000 without.
"""

import asyncio
import json
import os
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count, cycle, islice
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.client import Account, register
from tests.faults.flooding import (
    CLOSE,
    MEGABYTE,
    Growth,
    Peer,
    connect,
    frame,
    greeted,
    handshake,
    has_nothing_to_regret,
    text,
)
from tests.faults.healthy import Healthy
from tests.faults.load import until
from tests.running import Server, running

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a process's memory is not shown here")

MALFORMED: Final = int(os.environ.get("CHAT_TEST_MALFORMED", "20000"))
BURST: Final = 250  # malformed frames that are sent over one connection at once
FLOOD: Final = 1008
TOO_LARGE: Final = 1009
BROKEN: Final = 1002
FRAME: Final = 64 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open") as server:
        yield server


class Flood:
    """What a test needs: flooders with an account each, a room that they and the healthy share."""

    def __init__(self, server: Server, flooders: list[Account], room: str) -> None:
        self.server = server
        self.flooders = flooders
        self.room = room


@asynccontextmanager
async def flooding(server: Server, capsys: pytest.CaptureFixture[str], what: str, most: int) -> AsyncIterator[Flood]:
    """Somebody healthy beside it. The server's memory grows by less than `most` bytes, and it logs no error."""
    healthy = register(server.address, "healthy")
    room = healthy.do("create_room", title="Everybody", kind="public")["room"]
    flooders = [register(server.address, f"flooder{number}") for number in range(4)]
    for flooder in flooders:
        flooder.do("join_room", room=room)
    async with Healthy(healthy, room) as somebody:
        with Growth(server) as growth:
            yield Flood(server, flooders, room)
    with capsys.disabled():
        print(f"\n{what}: {growth}; {somebody}")
    assert growth.bytes < most
    has_nothing_to_regret(server)


# ---- frames aside


async def test_pings_of_somebody_who_reads_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    async with flooding(server, capsys, "20 x 50,000 pings, nothing read", 50 * MEGABYTE) as flood:
        peers = [await connect(server, handshake(flood.flooders[0]), buffer=4_096) for _ in range(20)]
        await until(lambda: all(peer.is_greeted for peer in peers), "a hello for everybody")
        for peer in peers:
            peer.transport.pause_reading()
            peer.say(frame(9, b"x" * 125) * 50_000)
        await asyncio.sleep(1)
        for peer in peers:
            peer.transport.resume_reading()
        assert [await peer.ends() for peer in peers] == [FLOOD] * 20


async def test_pieces_of_messages(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [
        frame(1, b"x", fin=False) + frame(0, b"", fin=False) * 100_000,  # a message without end
        (frame(1, b"[", fin=False) + frame(0, b"1", fin=False) * 50 + frame(0, b"]")) * 2_000,
        frame(10, b"") * 100_000,  # or pongs
    ]
    async with flooding(server, capsys, "60 x 100,000 fragments or pongs", 50 * MEGABYTE) as flood:
        for data in pieces:
            peers = [await greeted(server, flood.flooders[0]) for _ in range(20)]
            for peer in peers:
                peer.say(data)
            assert [await peer.ends() for peer in peers] == [FLOOD] * 20


# ---- frames that ask for something


async def test_typing_and_pings_of_the_contract(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    async with flooding(server, capsys, "10 x 20,000 frames without an id", 50 * MEGABYTE) as flood:
        typing = json.dumps({"type": "typing", "room": flood.room}).encode()
        peers = [await greeted(server, flood.flooders[number % 4]) for number in range(10)]
        for number, peer in enumerate(peers):
            peer.say(text(typing if number % 2 else b'{"type":"ping"}') * 20_000)
        assert [await peer.ends() for peer in peers] == [FLOOD] * 10


async def test_commands_faster_than_the_rate_of_one_account_do_not_starve_another(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The healthy one demands that each of its commands is acknowledged. No socket of the flooder is sent away for
    asking what it may ask: the answer says when to try again, and who does not wait is made to.
    """
    async with flooding(server, capsys, "10 sockets of one account, 200 commands each", 100 * MEGABYTE) as flood:
        peers = [await greeted(server, flood.flooders[0]) for _ in range(10)]
        numbers = count()
        for _ in range(2):
            for peer in peers:
                peer.say(b"".join(text(message(flood.room, next(numbers))) for _ in range(100)))
            await asyncio.sleep(0.1)
        answers: Counter[bytes] = Counter()

        def are_answered() -> bool:
            answers.clear()
            for peer in peers:
                answers.update(re.findall(rb'"type":"ack"|"code":"\w+"', peer.heard))
            return answers.total() == 2_000 or any(peer.over for peer in peers)

        await until(are_answered, "an answer to every command", 60)
        assert not [peer.code for peer in peers if peer.over]
        for peer in peers:
            peer.transport.abort()
    acknowledged, refused = answers[b'"type":"ack"'], answers[b'"code":"too_fast"']
    with capsys.disabled():
        print(f"of the flood, {acknowledged} were acknowledged and {refused} refused")
    assert acknowledged + refused == 2_000
    assert 40 <= acknowledged < 1_000


def message(room: str, number: int) -> bytes:
    return json.dumps({"type": "send_message", "id": f"f{number}", "room": room, "text": "!"}).encode()


# ---- frames that cannot be read

Make = Callable[[Random], bytes]

MALFORMED_FRAMES: Final[dict[str, tuple[Make, int]]] = {
    "noise": (lambda chance: text(chance.randbytes(chance.randrange(1, 200))), FLOOD),
    "not an object": (lambda chance: text(chance.choice([b"", b"null", b"[]", b'"x"', b"1e999", b"NaN"])), FLOOD),
    "half an object": (lambda chance: text(b'{"type":"send_message"'[: chance.randrange(1, 22)]), FLOOD),
    "an unknown type": (lambda chance: text(b'{"type":"%d","id":"1"}' % chance.randrange(1000)), FLOOD),
    "wrong fields": (lambda _: text(b'{"type":"send_message","id":"1","room":7,"text":[]}'), FLOOD),
    "no id": (lambda _: text(b'{"type":"list_rooms"}'), FLOOD),
    "bytes": (lambda chance: frame(2, chance.randbytes(50)), FLOOD),
    "half a character": (lambda _: text(b'{"type":"typing","room":"\xc3"}'), FLOOD),
    "an odd opcode": (lambda chance: frame(chance.choice([3, 4, 5, 6, 7, 11, 15]), b"?"), BROKEN),
    "not masked": (lambda _: b"\x81\x02{}", BROKEN),
    "a reserved bit": (lambda _: b"\xc1" + text(b"{}")[1:], BROKEN),
    "a long ping": (lambda _: frame(9, bytes(126)), BROKEN),
    "half a ping": (lambda _: frame(9, b"", fin=False), BROKEN),
    "the rest of nothing": (lambda _: frame(0, b"?"), BROKEN),
    "a close of one byte": (lambda _: frame(CLOSE, b"?"), BROKEN),
    "a close with no such code": (lambda _: frame(CLOSE, struct.pack("!H", 1005)), BROKEN),
}


async def test_malformed_frames(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """They end a connection after a burst, so the flooders come again and again, eight at a time."""
    bursts = -(-MALFORMED // BURST)
    chance = Random(1)
    wrong: Counter[tuple[str, int | None]] = Counter()

    async def burst(account: Account, kind: str) -> None:
        make, code = MALFORMED_FRAMES[kind]
        peer = await greeted(server, account)
        if code == FLOOD:  # a few are answered
            peer.say(b"".join(make(chance) for _ in range(10)))
            await until(lambda: peer.heard.count(b'"code":"malformed"') == 10 or peer.over, "ten refusals")
        peer.say(b"".join(make(chance) for _ in range(BURST)))
        if await peer.ends() != code:
            wrong[kind, peer.code] += 1
        if peer.heard.count(b'"code":"malformed"') != (10 if code == FLOOD else 0):
            wrong[kind, None] += 1
        assert b'"type":"ack"' not in peer.heard

    async with flooding(server, capsys, f"{bursts} x {BURST} malformed frames", 50 * MEGABYTE) as flood:
        kinds = islice(cycle(MALFORMED_FRAMES), bursts)

        async def flooder(account: Account) -> None:
            for kind in kinds:
                await burst(account, kind)

        await asyncio.gather(*(flooder(flood.flooders[number % 4]) for number in range(8)))
    assert not wrong


async def test_oversized_frames(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        (text(bytes(FRAME + 1)), TOO_LARGE),
        (frame(2, bytes(FRAME + 1)), TOO_LARGE),
        (frame(1, b"x" * 100, length=2**31), TOO_LARGE),
        (frame(1, b"x" * 100, length=2**62), TOO_LARGE),
        (frame(1, b"x" * 40_000, fin=False) + frame(0, b"x" * 40_000), TOO_LARGE),
        (text(b"x" * FRAME) * 30, FLOOD),  # not too large, and nothing that can be read
    ]
    async with flooding(server, capsys, "20 x oversized frames of 6 kinds", 100 * MEGABYTE) as flood:
        for _ in range(20):
            peers = [await greeted(server, flood.flooders[number % 4]) for number in range(len(cases))]
            for peer, (data, _) in zip(peers, cases, strict=True):
                peer.say(data)
            assert [await peer.ends() for peer in peers] == [code for _, code in cases]


# ---- bombs


def bombs(room: str) -> dict[str, bytes]:
    """All below 64 KiB."""
    head = b'{"type":"send_message","id":"1","room":"%s","text":' % room.encode()
    return {
        "deep arrays": head + b"[" * 60_000,
        "deep and whole": head + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "deep objects": b'{"type":"send_message","x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        "a huge integer": head + b"9" * 60_000 + b"}",
        "a huge seq": b'{"type":"mark_read","id":"1","room":"%s","message":%s}' % (room.encode(), b"9" * 400),
        "a huge exponent": head + b"1e999999999}",
        "a huge text": head + b'"' + b"x" * 60_000 + b'"}',
        "escapes": head + b'"' + rb"\u0041" * 10_000 + b'"}',
        "many keys": head + b'"",' + b",".join(b'"k%d":0' % number for number in range(5_500)) + b"}",
        "one key often": head + b'"",' + b",".join([b'"text":""'] * 6_000) + b"}",
        "half a pair": head + rb'"\ud800"}',
        "the other half": head + rb'"\udc00\ud800"}',
        "half a pair in the id": rb'{"type":"send_message","id":"\ud800","room":"x","text":"x"}',
        "a NUL": head + rb'"\u0000"}',
        "no text at all": head + b'"\xff\xfe"}',
        "spaces": b" " * 60_000 + b"{}",
    }


async def test_bombs_in_frames_are_refused_each_with_an_answer(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    async with flooding(server, capsys, "10 x 16 bombs in frames", 50 * MEGABYTE) as flood:
        for _ in range(10):
            peer = await greeted(server, flood.flooders[0])
            for bomb in bombs(flood.room).values():
                peer.say(text(bomb))
            peer.say(text(b'{"type":"ping"}'))
            await until(lambda: b'"type":"pong"' in peer.heard or peer.over, "an answer to every bomb")  # noqa: B023
            assert peer.heard.count(b'"code":"malformed"') == len(bombs(""))
            peer.transport.abort()


async def test_bombs_in_bodies_are_refused_too(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    statuses: Counter[int | None] = Counter()
    async with flooding(server, capsys, "10 x 18 bombs in bodies", 50 * MEGABYTE) as flood:
        bodies = {**bombs(flood.room), "too large": b"x" * (FRAME + 1), "far too large": b"x" * 5_000_000}
        for number in range(10):
            for body in bodies.values():
                peer = await connect(server, post(flood.flooders[0], body, chunked=number % 2 == 1))
                await until(lambda: peer.status is not None or peer.over, "an answer")  # noqa: B023
                statuses[peer.status] += 1
                peer.transport.abort()
    assert statuses == {400: 160, 413: 20}


def post(account: Account, body: bytes, *, chunked: bool) -> bytes:
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = (
        b"POST /api/send_message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %s\r\n%s\r\n\r\n" % (account.token.encode(), length)
    )
    if not chunked:
        return head + body
    parts = [body[start : start + 1_000] for start in range(0, len(body), 1_000)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# ---- requests that cannot be read


async def test_noise_instead_of_http(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A line in the log for each would fill the disk."""
    chance = Random(1)
    statuses: Counter[int | None] = Counter()
    async with flooding(server, capsys, "2,000 connections with noise for a request", 50 * MEGABYTE):
        before = len(server.lines())
        for _ in range(40):
            peers = [await connect(server, noise(chance)) for _ in range(50)]
            await until(lambda: all(peer.over or peer.status for peer in peers), "an answer")  # noqa: B023
            statuses.update(peer.status for peer in peers)
            for peer in peers:
                peer.transport.abort()
        assert len(server.lines()) - before < 20
    assert statuses.keys() <= {None, 400, 401, 404, 405, 431}
    assert statuses[400] > 1_000


def noise(chance: Random) -> bytes:
    """A request with a few bytes of it changed, or none that was ever one."""
    data = bytearray(b"GET /api/me HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n")
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(20, 300)) + b"\r\n\r\n"
    for _ in range(chance.randrange(3, 8)):
        data[chance.randrange(len(data) - 4)] = chance.randrange(256)
    return bytes(data)


def test_every_kind_of_peer_is_told_apart() -> None:
    """What the tests above look at is what was sent."""
    peer = Peer()
    peer.data_received(
        b"HTTP/1.1 101 Switching\r\n\r\n\x81\x02{}" + b"\x88\x04\x03\xf0no" + b"\x81\x7e\x00\x80" + bytes(128)
    )
    assert peer.status == 101
    assert list(peer.frames) == [(1, b"{}"), (8, b"\x03\xf0no"), (1, bytes(128))]
    assert peer.code == FLOOD
