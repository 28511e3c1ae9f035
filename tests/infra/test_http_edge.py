"""HTTP at the edge: a request arrives in time and in measure, its answer is read, or the connection ends."""

import asyncio
import gc
import json
import socket
import struct
import weakref
from contextlib import suppress

import pytest

from chat.infra import admission as admissions
from chat.infra import http_edge as edges
from chat.infra.http_edge import HEAD, HEADERS, PIPELINED
from tests.application.fakes import until
from tests.infra.edges import HANDSHAKE, Place, edge, lazy, rest
from tests.infra.edges import anyio_backend as anyio_backend

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "HEADERS_WITHIN", 0.05)


async def say(peer: socket.socket, data: bytes) -> None:
    await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(peer, data), 5)


async def drip(peer: socket.socket, data: bytes) -> None:
    """Again and again, until the connection ends."""
    with suppress(OSError):
        while True:
            await say(peer, data)
            await asyncio.sleep(0.005)


async def ends(place: Place, data: bytes, after: bytes = b"") -> bytes:
    """What is heard of a connection until the server ends it, however much is dripped after `data`."""
    peer = await lazy(place, data)
    dripping = asyncio.create_task(drip(peer, after)) if after else None
    told = await rest(peer)
    if dripping:
        dripping.cancel()
    peer.close()
    return told


# ---- in time


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("head", "reason"), [(b"", "silent"), (b"GET / HT", "slow_head"), (b"GET / HTTP/1.1\r\nHost: x\r\n", "slow_head")]
)
async def test_a_head_has_to_arrive_in_time(head: bytes, reason: str) -> None:
    async with edge() as place:
        assert await ends(place, head) == b""
    assert place.dropped == {reason: 1}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
@pytest.mark.parametrize("drop", [b"x", b"\r\n", b"A: b\r\n"])
async def test_bytes_now_and_then_do_not_put_it_off(before: bytes, drop: bytes) -> None:
    async with edge() as place:
        start = b"" if drop == b"\r\n" else b"GET / HTTP/1.1\r\nX: "
        told = await ends(place, before + start, drop)
        assert told.endswith(b"ok") == bool(before)


@pytest.mark.usefixtures("hurried")
async def test_the_rest_of_a_body_that_nobody_waits_for_has_to_arrive_in_time_too() -> None:
    async with edge() as place:
        told = await ends(place, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"x")
        assert told.endswith(b"ok")


async def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "HEADERS_WITHIN", 0.02)
    async with edge(delay=0.1) as place:
        assert (await ends(place, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).endswith(b"ok")
    assert not place.dropped


async def test_a_connection_is_kept_for_a_while_and_then_closed() -> None:
    async with edge(timeout_keep_alive=0.05) as place:
        peer = await lazy(place, POST + b"hello" + GET)
        assert (await rest(peer)).count(b"ok") == 2
        peer.close()
    assert not place.dropped


async def test_an_answer_has_to_be_read_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "READ_WITHIN", 0.05)
    async with edge() as place:
        place.answer = bytes(2_000_000)
        peer = await lazy(place, GET)
        await until(lambda: place.admission.in_all == 1 and place.asked)
        await until(lambda: place.admission.in_all == 0)
        peer.close()
    assert place.dropped == {"unread": 1}


async def test_so_many_answers_to_one_address_may_wait_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admissions, "UNREAD", 2)
    async with edge() as place:
        place.answer = bytes(2_000_000)
        peers = [await lazy(place, GET) for _ in range(3)]
        await until(lambda: place.admission.in_all == 2 and len(place.asked) == 3)
        assert place.admission.dropped == {"unread_many": 1}
        assert set(place.admission.unread.values()) == {2}
        for peer in peers:
            peer.close()
        await until(lambda: not place.admission.in_all)
        assert not place.admission.unread
        place.answer = b"ok"
        peer = await lazy(place, GET)
        await until(lambda: len(place.asked) == 4)
        peer.close()


@pytest.mark.parametrize(
    "ask", [GET, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"], ids=["kept alive", "to be closed"]
)
@pytest.mark.parametrize("half", [False, True], ids=["open", "half closed"])
async def test_a_connection_that_closes_has_to_be_read_in_time_too(
    monkeypatch: pytest.MonkeyPatch, ask: bytes, half: bool
) -> None:
    """However little is unread: the transport may not even have found it worth a pause."""
    monkeypatch.setattr(edges, "READ_WITHIN", 0.05)
    async with edge(timeout_keep_alive=0.05 if not half else 5) as place:
        place.answer = bytes(2_000_000)
        peer = await lazy(place, b"")
        await until(lambda: place.state.connections)
        for connection in place.state.connections:
            connection.transport.set_write_buffer_limits(high=10_000_000)
        await say(peer, ask)
        await until(lambda: place.asked)
        if half:
            peer.shutdown(socket.SHUT_WR)
        await until(lambda: place.admission.in_all == 0)
        peer.close()
    assert place.dropped == {"unread": 1}


# ---- in measure


async def filled(place: Place, start: bytes, filling: bytes) -> bytes:
    """What is heard when the peer sends more and more of the same, a megabyte at most."""
    peer = await lazy(place, start)
    with suppress(OSError):
        for _ in range(1_000_000 // len(filling)):
            await say(peer, filling)
            await asyncio.sleep(0)
            if any(place.dropped.values()):
                break
    told = await rest(peer)
    peer.close()
    return told


@pytest.mark.parametrize(
    ("start", "filling"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-Filler: " + b"x" * 1_000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 5_000),
        (b"GET /", b"x" * 5_000),
        (b"GET / HTTP/1.1\r\n", b"a:b\r\n" * 10),
    ],
    ids=["fields", "a field", "a path", "many fields"],
)
async def test_a_head_may_not_be_endless(start: bytes, filling: bytes) -> None:
    async with edge(timeout_keep_alive=0.05) as place:
        told = await filled(place, start, filling)
        assert told.startswith(b"HTTP/1.1 431 ")
        assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "too_large"
        assert not place.asked
    assert place.dropped == {"large_head": 1}


@pytest.mark.parametrize(
    ("start", "filling"),
    [(b"0\r\nX: ", b"x" * 5_000), (b"0\r\n", b"X: y\r\n" * 1_000), (b"5;x=", b"x" * 5_000)],
    ids=["a trailer", "trailers", "a chunk extension"],
)
@pytest.mark.parametrize("delay", [0, 0.5], ids=["answered", "waited for"])
async def test_nor_what_stands_between_the_bytes_of_a_body(start: bytes, filling: bytes, delay: float) -> None:
    async with edge(delay) as place:
        await filled(place, CHUNKED + start, filling)
        assert [len(scope["headers"]) for scope in place.asked] == [2]
    assert place.dropped == {"large_head": 1}


async def test_nor_may_it_have_too_many_headers_however_short() -> None:
    async with edge() as place:
        assert (await ends(place, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * (HEADERS + 1) + b"\r\n")).startswith(
            b"HTTP/1.1 431 "
        )
    assert place.dropped == {"large_head": 1}


async def test_as_much_as_is_allowed_passes() -> None:
    async with edge(timeout_keep_alive=0.05) as place:
        fields = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 400) for number in range(HEADERS - 1))
        assert len(fields) < HEAD
        assert (await ends(place, b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")).endswith(b"ok")
        chunks = b"1\r\nx\r\n" * 20_000
        assert (await ends(place, CHUNKED + chunks + b"0\r\nA: b\r\n\r\n")).endswith(b"ok")
        assert len(chunks) > HEAD
        assert [name for name, _ in place.asked[-1]["headers"]] == [b"host", b"transfer-encoding"]  # and no trailer
    assert not place.dropped


async def test_so_many_requests_may_wait_for_the_answer_to_another_and_no_more() -> None:
    async with edge(timeout_keep_alive=0.05) as place:
        assert (await ends(place, GET * (PIPELINED + 1))).count(b"HTTP/1.1 200 ") == PIPELINED + 1
        assert not place.dropped
        assert await ends(place, GET * 5_000) == b""
        assert len(place.asked) <= PIPELINED + 2
    assert place.dropped == {"pipeline": 1}


async def test_answers_that_are_not_read_stop_the_work_for_the_next() -> None:
    async with edge() as place:
        place.answer = bytes(1_000_000)
        peer = await lazy(place, GET * PIPELINED)
        await until(lambda: place.asked)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert len(place.asked) < 4
        peer.close()


async def test_answers_for_somebody_who_is_gone_leave_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Of several that are waited for, the first is under way when the connection is lost."""
    async with edge(delay=0.01) as place:
        for _ in range(10):
            place.asked.clear()
            peer = await lazy(place, GET * 10)
            await until(lambda: place.asked)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        await until(lambda: not place.state.tasks)
    assert not caplog.records


# ---- what cannot be read


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    ],
)
async def test_it_is_refused_and_not_waited_for(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Above all what two readers would take for different requests (RFC 9112, 11.2). A flood leaves no line each."""
    async with edge() as place:
        told = await ends(place, data)
        assert told.startswith(b"HTTP/1.1 400 ")
        assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "malformed"
    assert place.dropped == {"bad_request": 1}
    assert not caplog.records


async def test_a_refusal_is_heard_by_whoever_still_sends() -> None:
    async with edge() as place:
        peer = await lazy(place, b"?" * 100)
        await until(lambda: place.dropped)
        await say(peer, b"?" * 300_000)
        assert (await rest(peer)).startswith(b"HTTP/1.1 400 ")
        peer.close()


async def test_who_does_not_go_after_a_refusal_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "CLOSED_WITHIN", 0.05)
    async with edge() as place:
        peer = await lazy(place, b"?")
        await until(lambda: place.admission.in_all)
        await until(lambda: not place.admission.in_all)
        peer.close()
    assert place.dropped == {"bad_request": 1, "refusal_unread": 1}


async def test_a_refusal_is_not_written_into_another_answer() -> None:
    async with edge() as place:
        place.answer = bytes(2_000_000)
        peer = await lazy(place, GET)
        await until(lambda: place.asked)
        await say(peer, b"?")
        assert b"400" not in await rest(peer)
        peer.close()
    assert place.dropped == {"bad_request": 1}


async def test_a_body_that_breaks_off_takes_its_request_with_it() -> None:
    async with edge(delay=0.05) as place:
        told = await ends(place, CHUNKED + b"x\r\n")
        assert told.startswith(b"HTTP/1.1 400 ")
        assert b"ok" not in told


# ---- handshakes of websockets


@pytest.mark.parametrize(
    "field",
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"A: " + b"x" * 9_000],
    ids=["a body", "chunks", "a long line"],
)
async def test_a_handshake_that_the_parser_rejects_is_answered(field: bytes) -> None:
    async with edge() as place:
        told = await ends(place, HANDSHAKE.replace(b"Host: x", b"Host: x\r\n" + field))
        assert told.startswith(b"HTTP/1.1 400 ")
        assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "malformed"
    assert place.dropped == {"bad_handshake": 1}


async def test_a_handshake_while_an_answer_is_under_way_is_none() -> None:
    async with edge(delay=0.05) as place:
        assert await ends(place, GET + HANDSHAKE) == b""
    assert place.dropped == {"bad_request": 1}


async def test_another_protocol_is_not_offered_and_the_request_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with edge(timeout_keep_alive=0.05) as place:
        assert (await ends(place, GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost"))).endswith(b"ok")
    assert not caplog.records


async def test_of_requests_that_nobody_waits_for_any_more_nothing_is_left_without_a_collection() -> None:
    async with edge(delay=0.01) as place:
        gc.disable()
        try:
            peer = await lazy(place, GET * 10)
            await until(lambda: place.asked)
            left = [weakref.ref(connection) for connection in place.state.connections]
            assert left
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            await until(lambda: not any(each() for each in left))
        finally:
            gc.enable()
