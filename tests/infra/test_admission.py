"""Connections are counted from beginning to end, and those beyond the bounds refused so that clients understand it."""

import asyncio
import json
import socket
from contextlib import suppress
from ipaddress import ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from chat.application.http import refusal_response
from chat.domain.errors import Refused
from chat.infra.admission import (
    ADMITTED,
    CROWDED,
    CUT,
    CUT_ADDRESS,
    FULL,
    LEAST,
    ROOM,
    Admission,
    Entry,
    connections,
    place_of,
)
from chat.infra.edge import dropped
from chat.infra.http_edge import REFUSALS
from chat.infra.refusals import problem
from tests.application.fakes import until
from tests.infra.edges import HANDSHAKE, Place, edge, lazy, rest
from tests.infra.edges import anyio_backend as anyio_backend


@pytest.fixture(autouse=True)
def nothing_dropped() -> None:
    dropped.clear()


def verdicts(admission: Admission, hosts: list[str]) -> list[str]:
    return [admission.enter(host).verdict for host in hosts]


def strangers(count: int) -> list[str]:
    return [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count)]


# ---- the count


def test_all_the_websockets_fit_in_and_a_thousand_more() -> None:
    told = verdicts(Admission(2_000), strangers(4_500))
    assert [told.count(verdict) for verdict in (ADMITTED, FULL, CUT)] == [3_000, 1_000, 500]
    assert told == sorted(told, key=[ADMITTED, FULL, CUT].index)


def test_one_address_has_a_quarter_of_it() -> None:
    told = verdicts(Admission(2_000), ["10.0.0.1"] * 1_700)
    assert [told.count(verdict) for verdict in (ADMITTED, CROWDED, CUT_ADDRESS)] == [500, 1_000, 200]


def test_and_never_less_than_a_household_needs() -> None:
    told = verdicts(Admission(10), ["10.0.0.1"] * LEAST)
    assert told == [ADMITTED] * LEAST


def test_one_address_does_not_fill_the_house_by_being_refused() -> None:
    admission = Admission(10_000)
    others = strangers(1_000)
    for _ in range(100_000):
        entry = admission.enter("192.0.2.1")
        if entry.verdict == CUT_ADDRESS:
            admission.leave(entry)
    assert verdicts(admission, others) == [ADMITTED] * len(others)


def test_where_files_are_few_every_bound_is_lower() -> None:
    told = verdicts(Admission(10_000, files=900), strangers(1_000))
    assert [told.count(verdict) for verdict in (ADMITTED, FULL, CUT)] == [810, 90, 100]


def test_it_never_has_more_than_is_asked_of_the_system() -> None:
    told = verdicts(Admission(2_000, files=connections(2_000)), strangers(5_000))
    assert len(told) - told.count(CUT) == connections(2_000) == 2_000 + 2 * ROOM


@pytest.mark.parametrize("exempt", [{"proxies": ("10.0.0.0/8",)}, {"by_address": False}])
def test_many_come_from_the_address_of_a_proxy_and_from_any_if_so_wished(exempt: dict[str, bool]) -> None:
    admission = Admission(2_000, **exempt)  # type: ignore[arg-type]
    assert verdicts(admission, ["10.0.0.1", "::ffff:10.0.0.2"] * 1_500) == [ADMITTED] * 3_000
    assert admission.of_places == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
    ],
)
def test_an_address_is_what_one_connection_to_the_internet_is_given(one: str, other: str, same: bool) -> None:
    assert (place_of(one) == place_of(other)) == same


def test_what_is_no_address_is_counted_in_all_alone() -> None:
    assert place_of("somewhere") is None
    assert place_of("10.1.2.3", [ip_network("10.0.0.0/8")]) is None
    admission = Admission(10)
    admission.leave(admission.enter(None))
    assert (admission.in_all, admission.of_places) == (0, {})


@given(st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1", "", "?"]) | st.none(), max_size=60), st.data())
def test_whoever_enters_and_leaves_is_forgotten(hosts: list[str | None], data: st.DataObject) -> None:
    admission = Admission(2, files=20, proxies=["10.0.0.2"])
    inside: list[Entry] = []
    for host in hosts:
        inside.append(admission.enter(host))
        if data.draw(st.booleans()):
            admission.leave(inside.pop(data.draw(st.integers(0, len(inside) - 1))))
        assert admission.in_all == len(inside)
    for entry in inside:
        admission.leave(entry)
    assert (admission.in_all, admission.of_places) == (0, {})


# ---- the answer


def test_a_refusal_looks_like_every_other() -> None:
    for refusal in [*REFUSALS.values(), Refused("malformed", "Why.")]:
        status, headers, body = problem(refusal)
        response = refusal_response(refusal)
        assert status == response.status_code
        assert body == response.body
        told = {name.decode(): value.decode() for name, value in headers}
        assert dict(response.headers).items() <= told.items()
        assert told["connection"] == "close"


class Crowded:
    """A place with `count` peers inside: of the next ones so and so many are refused, and then they are cut off."""

    def __init__(self, place: Place, verdict: str, count: int) -> None:
        self.place = place
        self.entries = [place.admission.enter("127.0.0.1" if verdict == CROWDED else None) for _ in range(count)]

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        for entry in self.entries:
            self.place.admission.leave(entry)


FEW = {FULL: (10, 90), CROWDED: (2_000, 500)}  # the sockets, and how many it takes to be beyond
STATUS = {FULL: (503, "busy"), CROWDED: (429, "too_fast")}


def few(verdict: str) -> Admission:
    return Admission(FEW[verdict][0], files=100 if verdict == FULL else None)


@pytest.mark.parametrize("verdict", [FULL, CROWDED])
@pytest.mark.parametrize(
    "ask", [b"GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n", HANDSHAKE], ids=["a request", "a handshake"]
)
async def test_who_is_one_too_many_is_told_when_to_come_back(verdict: str, ask: bytes) -> None:
    async with edge(admission=few(verdict)) as place:
        with Crowded(place, verdict, FEW[verdict][1]):
            peer = await lazy(place, ask)
            head, _, body = (await rest(peer)).partition(b"\r\n\r\n")
            peer.close()
            assert not place.asked
        status, code = STATUS[verdict]
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nretry-after: 10\r\n" in head
        assert b"\r\nconnection: close" in head
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        problem = json.loads(body)
        assert {"title": code, "status": status, "code": code, "retry_after": 10.0}.items() <= problem.items()
        async with connect(place.url) as websocket:  # now that there is room
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
    assert dropped == {verdict: 1}


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz", b"/metrics"])
async def test_health_checks_are_answered_nevertheless(path: bytes) -> None:
    async with edge(admission=few(FULL), timeout_keep_alive=0.05) as place:
        with Crowded(place, FULL, 95):
            peer = await lazy(place, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path * 2)
            assert (await rest(peer)).count(b"HTTP/1.1 200 ") == 2
            peer.close()


async def test_every_request_of_such_a_connection_is_refused_until_it_closes() -> None:
    async with edge(admission=few(FULL)) as place:
        with Crowded(place, FULL, 95):
            peer = await lazy(place, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            told = await rest(peer)
            assert (told.count(b"HTTP/1.1 200 "), told.count(b"HTTP/1.1 503 ")) == (1, 1)
            peer.close()


async def test_far_beyond_the_bounds_a_connection_is_cut_off_at_once() -> None:
    async with edge(admission=few(FULL)) as place:
        with Crowded(place, FULL, 100):
            peer = await lazy(place, b"")
            assert await rest(peer) == b""
            peer.close()
    assert dropped == {CUT: 1}


async def test_after_all_kinds_of_comings_and_goings_nobody_is_counted() -> None:
    """The edge sees to it in the end of every test; here with many at once, and at every moment of a connection."""
    chance = Random(1)
    admission = Admission(40, files=60)
    async with edge(admission=admission) as place:
        talks = [
            HANDSHAKE,
            HANDSHAKE + b"\x81\x80\0\0\0\0",
            HANDSHAKE + b"?",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10,
        ]

        async def visit(peer: socket.socket, data: bytes) -> None:
            cut = chance.choice([len(data), chance.randrange(len(data) + 1)])
            with suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(peer, data[:cut])
            await asyncio.sleep(chance.uniform(0, 0.02))
            peer.close()

        for _ in range(10):
            peers = await asyncio.gather(*(lazy(place, b"") for _ in range(80)))
            await until(lambda: dropped[CUT])
            await asyncio.gather(*(visit(peer, chance.choice(talks)) for peer in peers))
        await until(lambda: not admission.in_all)
        assert admission.of_places == {}
    assert {FULL, CUT} <= dropped.keys()
