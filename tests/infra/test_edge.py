"""Websockets at the edge: what comes in is handed over as it is wanted, and whoever stops reading is let go."""

import asyncio
import gc
import os
import socket
import struct
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chat.infra import edge as edges
from chat.infra.hub import Bundle
from tests.application.fakes import until
from tests.infra.edges import anyio_backend as anyio_backend
from tests.infra.edges import edge, lazy, masked, rest, text


async def test_frames_come_in_and_go_out_in_order() -> None:
    async with edge() as place, connect(place.url) as websocket:
        for number in range(100):
            await websocket.send(f"{number} ä")
        assert [await websocket.recv() for _ in range(100)] == [f"{number} ä" for number in range(100)]
        place.wire.write([Bundle([b"one", b"two"]), Bundle([b"x" * 70_000])])
        assert [await websocket.recv() for _ in range(3)] == ["one", "two", "x" * 70_000]
        await websocket.send(b"bytes")
        assert await websocket.recv() == "bytes"
        assert place.wire.unsent() == 0
        await place.wire.drained()


async def test_what_comes_before_anybody_listens_is_kept() -> None:
    async with edge(delay=0.02) as place, connect(place.url) as websocket:
        await websocket.send("early")
        await websocket.send("bird")
        assert [await websocket.recv(), await websocket.recv()] == ["early", "bird"]


async def test_who_goes_before_anybody_listens_is_lost_at_once() -> None:
    async with edge(delay=0.02) as place:
        async with connect(place.url):
            pass
        await until(lambda: place.lost)


async def test_frames_are_read_however_they_are_cut() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        loop = asyncio.get_running_loop()
        frames = masked(1, b"one") + masked(9, b"ping") + masked(1, b"") + masked(1, b"tw", fin=False) + masked(0, b"o")
        for at in range(len(frames)):
            place.heard.clear()
            await loop.sock_sendall(peer, frames[:at])
            await asyncio.sleep(0.001)
            await loop.sock_sendall(peer, frames[at:] + masked(1, b"end"))
            await until(lambda: b"end" in place.heard)
            assert place.heard == [b"one", b"", b"two", b"end"]
        peer.close()


async def test_it_can_be_told_not_to_read_for_a_while() -> None:
    async with edge() as place, connect(place.url) as websocket:
        await websocket.send("first")
        await websocket.recv()
        place.wire.pause()
        place.wire.pause()
        await websocket.send("second")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.recv(), 0.02)
        place.wire.resume()
        place.wire.resume()
        assert await websocket.recv() == "second"


def binary(number: int) -> bytes:
    return masked(2, b"%d" % number)


def cut(number: int) -> bytes:
    return masked(1, b"", fin=False) + masked(0, b"%d" % number)


@pytest.mark.parametrize("kinds", [[text], [binary], [cut], [text, cut, binary]])
@pytest.mark.parametrize("delay", [0, 0.02], ids=["listened to", "early"])
async def test_a_burst_is_handed_over_no_faster_than_it_is_wanted_whole_and_in_order(
    kinds: list[Callable[[int], bytes]], delay: float
) -> None:
    async with edge(delay=delay) as place:
        peer = await lazy(place)
        await until(lambda: place.wires)

        def on_heard() -> None:
            if len(place.heard) % 10 == 0:
                place.wire.pause()

        place.on_heard = on_heard
        frames = [kinds[number % len(kinds)](number) for number in range(95)]
        await asyncio.get_running_loop().sock_sendall(peer, b"".join(frames))
        for wanted in range(10, 100, 10):
            await until(lambda: len(place.heard) >= wanted)  # noqa: B023
            await asyncio.sleep(0.002)
            assert len(place.heard) == wanted
            place.wire.resume()
            place.wire.pause()
            place.wire.resume()
            assert len(place.heard) == wanted  # never in the middle of something else
        await until(lambda: len(place.heard) == 95)
        await asyncio.get_running_loop().sock_sendall(peer, text(95) + masked(8, struct.pack("!H", 1000)))
        await until(lambda: place.lost)
        assert place.heard == [b"%d" % number for number in range(96)]
        peer.close()


async def test_who_pauses_and_goes_on_within_a_frame_is_handed_the_next_one_after_it() -> None:
    """As when a command is refused at once while it is taken in."""
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        depth = deepest = 0

        def on_heard() -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            place.wire.pause()
            place.wire.resume()
            depth -= 1

        place.on_heard = on_heard
        await asyncio.get_running_loop().sock_sendall(peer, b"".join(map(text, range(50))))
        await until(lambda: len(place.heard) == 50)
        assert deepest == 1
        assert place.heard == [b"%d" % number for number in range(50)]
        peer.close()


async def test_a_goodbye_to_somebody_paused_is_answered() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.on_heard = lambda: place.wire.pause()
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2) + masked(8, struct.pack("!H", 1000)))
        await until(lambda: place.heard)
        place.wire.hang_up(4008, "lagging: resume")
        place.wire.pause()
        await until(lambda: place.lost)
        assert place.heard == [b"1"]
        peer.close()


async def test_a_pause_is_cut_off_with_its_connection() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.on_heard = lambda: place.wire.pause()
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2))
        await until(lambda: place.heard)
        place.wire.resume()
        place.wire.transport.abort()
        await until(lambda: place.lost)
        assert place.heard == [b"1"]
        await place.wire.gone()
        peer.close()


async def test_what_breaks_on_a_frame_that_was_kept_ends_the_connection() -> None:
    broken: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)

        def on_heard() -> None:
            place.wire.pause()
            assert len(place.heard) == 1

        place.on_heard = on_heard
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + text(2))
        await until(lambda: place.heard)
        place.wire.resume()
        await until(lambda: place.lost)
        assert [type(error) for error in broken] == [AssertionError]
        peer.close()


async def test_after_a_goodbye_nothing_goes_out_or_comes_in() -> None:
    async with edge() as place, connect(place.url) as websocket:
        await until(lambda: place.wires)
        place.wire.hang_up(4008, "lagging: resume")
        place.wire.hang_up(1012, "another")
        place.wire.write([Bundle([b"too late"])])
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4008, "lagging: resume")
        await until(lambda: place.lost)
        assert place.lost == 1
        place.wire.write([Bundle([b"far too late"])])
        place.wire.hang_up(1012, "again")
        assert place.wire.unsent() == 0
        await place.wire.drained()


async def test_once_it_is_cut_off_nothing_is_asked_of_the_connection() -> None:
    """Between the cut and the moment when everybody knows."""
    async with edge() as place, connect(place.url) as websocket:
        await websocket.send("hello")
        await websocket.recv()
        for before in (place.wire.resume, place.wire.pause):
            before()
        place.wire.transport.abort()
        place.wire.resume()
        place.wire.pause()
        place.wire.write([Bundle([b"too late"])])
        place.wire.hang_up(1012, "too late")
        place.wire.handle_ping()
        assert place.wire.unsent() == 0
        await until(lambda: place.lost)


async def test_who_does_not_answer_a_goodbye_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.write([Bundle([os.urandom(500_000)])])
        assert place.wire.unsent() > 0
        place.wire.hang_up(4008, "lagging: resume")
        await until(lambda: place.lost)
        peer.close()
    assert place.dropped == {"close_unanswered": 1}


@pytest.mark.parametrize("end", [masked(8, struct.pack("!H", 1000)), b""], ids=["a goodbye", "the end"])
async def test_who_says_goodbye_and_does_not_read_is_dropped_too(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.write([Bundle([os.urandom(800_000)])])
        if end:
            await asyncio.get_running_loop().sock_sendall(peer, end)
        else:
            peer.shutdown(socket.SHUT_WR)
        await until(lambda: place.lost)
        peer.close()
    assert place.dropped == {"goodbye_unread": 1}


async def test_after_the_goodbye_of_a_peer_nothing_of_it_counts() -> None:
    async with edge() as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        await asyncio.get_running_loop().sock_sendall(peer, text(1) + masked(8, struct.pack("!H", 1000)) + text(2))
        await until(lambda: place.lost)
        assert place.heard == [b"1"]
        peer.close()
    assert not place.dropped


async def test_who_stops_reading_is_dropped_though_the_buffer_is_full() -> None:
    async with edge(ws_ping_interval=0.05, ws_ping_timeout=0.05) as place:
        peer = await lazy(place)
        await until(lambda: place.wires)
        place.wire.write([Bundle([os.urandom(800_000)])])
        waiting = asyncio.create_task(place.wire.drained())
        await until(lambda: place.lost)
        await waiting
        peer.close()
    assert place.dropped == {"keepalive_timeout": 1}


async def test_who_is_not_read_from_for_a_while_is_not_blamed_for_it() -> None:
    """Its answer to a ping is there, but nobody has looked."""
    async with edge(ws_ping_interval=0.1, ws_ping_timeout=0.1) as place:
        async with connect(place.url) as websocket:
            await until(lambda: place.wires)
            place.wire.pause()
            await websocket.send("hello")
            await asyncio.sleep(1)
            assert not place.lost
            place.wire.resume()
            assert await websocket.recv() == "hello"
        peer = await lazy(place)  # but one that does not read either is
        await until(lambda: len(place.wires) == 2)
        place.wire.write([Bundle([os.urandom(800_000)])])
        place.wire.pause()
        await until(lambda: place.lost == 2)
        peer.close()
    assert place.dropped == {"keepalive_timeout": 1}


# ---- what is left of it


async def test_strangers_who_are_dropped_are_counted_and_leave_no_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody listens to them yet. Whoever was listened to leaves one."""
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    with capture_logs() as lines:
        async with edge(delay=0.5) as place:
            peers = [await lazy(place) for _ in range(20)]
            await until(lambda: len(place.wires) == 20)
            for wire in place.wires:
                wire.hang_up(4401, "log in first")
            await until(lambda: place.dropped == {"close_unanswered": 20})
            for peer in peers:
                peer.close()
        assert not lines
        async with edge() as place:
            peer = await lazy(place)
            await until(lambda: place.wires)
            place.wire.hang_up(4008, "lagging: resume")
            await until(lambda: place.lost)
            peer.close()
    assert [(line["event"], line["reason"]) for line in lines] == [("websocket dropped", "close_unanswered")]


@pytest.mark.parametrize(
    "end",
    [masked(8, struct.pack("!H", 1000)), b"\x81\x05hello", masked(9, b"") * 300, None],
    ids=["a goodbye", "a broken frame", "a flood", "without a word"],
)
async def test_of_a_connection_that_is_over_nothing_is_left_without_a_collection(end: bytes | None) -> None:
    """A flood of those that come and go would else be kept until one comes along, which is made rare."""
    async with edge() as place:
        gc.disable()
        try:
            peer = await lazy(place)
            await until(lambda: place.wires)
            left: list[weakref.ref[Any]] = [weakref.ref(place.wire), weakref.ref(place.wire.conn)]
            place.wires.clear()
            if end:
                await asyncio.get_running_loop().sock_sendall(peer, end)
                await rest(peer)
            peer.close()
            await until(lambda: not place.state.connections and not place.state.tasks)
            await until(lambda: not any(each() for each in left))
        finally:
            gc.enable()


async def test_nor_of_one_that_is_over_before_anybody_listens() -> None:
    async with edge(delay=0.02) as place:
        gc.disable()
        try:
            peer = await lazy(place)
            await until(lambda: place.wires)
            left: list[weakref.ref[Any]] = [weakref.ref(place.wire), weakref.ref(place.wire.conn)]
            place.wires.clear()
            peer.close()
            await until(lambda: place.lost)
            await until(lambda: not any(each() for each in left))
        finally:
            gc.enable()
