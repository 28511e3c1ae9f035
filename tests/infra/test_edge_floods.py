"""Websockets at the edge: floods are ended, broken frames answered with their code, and both are counted."""

import asyncio
import struct
from collections import Counter
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect

from chat.infra import edge as edges
from chat.infra.edge import ASIDE, FRAGMENTS
from tests.application.fakes import until
from tests.infra.edges import anyio_backend as anyio_backend
from tests.infra.edges import edge, lazy, masked, rest, text


async def test_a_flood_of_pings_is_not_answered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "ASIDE", 1_000_000)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        loop = asyncio.get_running_loop()
        pings = masked(9, b"x" * 125) * 500
        with pytest.raises(OSError):  # noqa: PT011, PT012
            for _ in range(500):
                await asyncio.wait_for(loop.sock_sendall(peer, pings), 5)
                assert place.wire.unsent() < 512 * 1024
        peer.close()
    assert place.dropped == {"ping_flood": 1}


async def test_a_message_has_so_many_fragments_and_no_more() -> None:
    async with edge() as place:
        for count, heard in ((FRAGMENTS, True), (FRAGMENTS + 1, False)):
            frames = [masked(1 if number == 0 else 0, b"x", fin=number == count - 1) for number in range(count)]
            place.wires.clear()
            place.heard.clear()
            peer = await lazy(place)
            await until(lambda: place.wires)
            await asyncio.get_running_loop().sock_sendall(peer, b"".join(frames))
            await until(lambda: place.heard or place.wire.close_sent)
            await asyncio.get_running_loop().sock_sendall(peer, masked(8, struct.pack("!H", 1000)))
            told = await rest(peer)
            assert (b"x" * FRAGMENTS in told) == heard
            assert (struct.pack("!H", 1008) in told) != heard
            peer.close()
            assert place.heard == ([b"x" * FRAGMENTS] if heard else [])
    assert place.dropped == {"flood": 1}


@pytest.mark.parametrize(
    "flood",
    [
        masked(9, b"") * (ASIDE + 1),
        masked(10, b"") * (ASIDE + 1),
        (masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * 40 + masked(0, b"x")) * (ASIDE // 41 + 1),
    ],
    ids=["pings", "pongs", "fragments"],
)
async def test_a_flood_of_what_asks_for_nothing_ends_it(flood: bytes) -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        await asyncio.get_running_loop().sock_sendall(peer, flood + masked(1, b"after"))
        assert struct.pack("!H", 1008) in await rest(peer)
        assert b"after" not in place.heard
        peer.close()
    assert place.dropped == {"flood": 1}


async def test_a_few_pings_in_every_second_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge() as place, connect(place.url) as websocket:
        await until(lambda: place.wires)
        for _ in range(3):
            for _ in range(ASIDE):
                await (await websocket.ping())
            monkeypatch.setattr(place.wire, "_second", 0.0)  # another second


async def test_a_goodbye_after_a_flood_comes_too_late() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        flood = masked(1, b"x", fin=False) + masked(0, b"x", fin=False) * FRAGMENTS + masked(0, b"x")
        await asyncio.get_running_loop().sock_sendall(peer, flood + masked(8, struct.pack("!H", 1000)))
        assert struct.pack("!H", 1008) in await rest(peer)
        peer.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (struct.pack("!BBQ", 0x81, 0x80 | 127, 2**20) + b"\0" * 4 + b"x" * 300_000, 1009),
        (b"\x81\x05hello", 1002),
        (masked(3, b"?"), 1002),
        (masked(0, b"?"), 1002),
        (masked(1, b"?", fin=False) + masked(1, b"?"), 1002),
    ],
    ids=["too large", "not masked", "an odd opcode", "the end of nothing", "a message within a message"],
)
async def test_who_breaks_the_protocol_is_told_so_whatever_else_is_under_way(data: bytes, code: int) -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        with suppress(OSError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(peer, data * 3), 5)
        assert struct.pack("!H", code) in await rest(peer)
        peer.close()
        await until(lambda: place.lost)
    assert place.dropped == {"too_large" if code == 1009 else "protocol_error": 1}


async def test_who_breaks_the_protocol_and_stays_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        await asyncio.get_running_loop().sock_sendall(peer, b"\x81\x05hello")
        await until(lambda: place.lost)
        peer.close()


async def test_between_the_frames_of_a_flood_others_have_their_turn() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        heard_at: Counter[int] = Counter()
        turn = 0
        place.on_heard = lambda: heard_at.update([turn])
        await asyncio.get_running_loop().sock_sendall(peer, b"".join(map(text, range(3_000))))
        while len(place.heard) < 3_000:
            turn += 1
            await asyncio.sleep(0)
        assert place.heard == [b"%d" % number for number in range(3_000)]
        assert max(heard_at.values()) < 100
        peer.close()


async def test_what_floods_in_after_our_goodbye_is_not_read() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        read: list[bytes] = []
        place.wire.conn.receive_data = read.append  # type: ignore[assignment, method-assign]
        place.wire.hang_up(4401, "log in first")
        with suppress(OSError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(peer, text(1) * 200_000), 5)
        assert struct.pack("!H", 4401) in await rest(peer)  # and the end of the connection
        peer.close()
        await until(lambda: place.lost)
        assert (place.heard, read) == ([], [])


async def test_nor_is_the_goodbye_of_somebody_who_was_sent_away_for_a_flood_waited_for() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.hang_up(1008, "too many frames that cannot be read")
        assert (await rest(peer)).endswith(struct.pack("!H", 1008) + b"too many frames that cannot be read")
        peer.close()
        await until(lambda: place.lost)
    assert place.dropped == {"flood": 1}


async def test_an_answer_to_our_goodbye_is_found_behind_what_was_under_way() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.hang_up(4008, "lagging: resume")
        loop = asyncio.get_running_loop()
        for data in (text(1) * 100, masked(9, b"?"), masked(8, struct.pack("!H", 4008))[:3]):
            await loop.sock_sendall(peer, data)
        await asyncio.sleep(0.01)
        assert not place.lost
        await loop.sock_sendall(peer, masked(8, struct.pack("!H", 4008))[3:])
        await until(lambda: place.lost)
        peer.close()
    assert not place.dropped
