"""Connections are counted from beginning to end, and those beyond the bounds refused so that clients understand it."""

import asyncio
import json
import socket
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from chat.application.http import refusal_response
from chat.domain.errors import Refused
from chat.domain.limits import ADDRESS_SOCKETS
from chat.infra.admission import (
    ADMITTED,
    CROWDED,
    CUT,
    CUT_ADDRESS,
    FULL,
    REFUSED,
    ROOM,
    Admission,
    Entry,
    connections,
)
from chat.infra.http_edge import REFUSALS
from chat.infra.refusals import problem
from tests.application.fakes import until
from tests.infra.edges import HANDSHAKE, Place, edge, lazy, rest
from tests.infra.edges import anyio_backend as anyio_backend


def verdicts(admission: Admission, hosts: list[str]) -> list[str]:
    """Of those who come one after the other and stay, if they may."""
    return [come(admission, host).verdict for host in hosts]


def come(admission: Admission, host: str) -> Entry:
    entry = admission.enter(host)
    if entry.verdict in (CUT, CUT_ADDRESS):
        admission.leave(entry)
    return entry


def strangers(count: int) -> list[str]:
    return [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count)]


# ---- the count


def test_all_the_websockets_fit_in_and_a_thousand_more() -> None:
    told = verdicts(Admission(2_000), strangers(4_500))
    assert [told.count(verdict) for verdict in (ADMITTED, FULL, CUT)] == [3_000, ROOM - REFUSED, 500 + REFUSED]
    assert told == sorted(told, key=[ADMITTED, FULL, CUT].index)


def test_one_address_has_a_quarter_of_it() -> None:
    told = verdicts(Admission(2_000), ["10.0.0.1"] * 1_700)
    assert [told.count(verdict) for verdict in (ADMITTED, CROWDED, CUT_ADDRESS)] == [500, REFUSED, 1_200 - REFUSED]
    assert told == sorted(told, key=[ADMITTED, CROWDED, CUT_ADDRESS].index)


def test_and_never_less_than_a_household_needs() -> None:
    told = verdicts(Admission(10), ["10.0.0.1"] * ADDRESS_SOCKETS)
    assert told == [ADMITTED] * ADDRESS_SOCKETS


def test_who_goes_makes_place_for_another_of_the_same_address() -> None:
    admission = Admission(10)
    inside = [admission.enter("10.0.0.1") for _ in range(ADDRESS_SOCKETS + REFUSED)]
    admission.leave(inside[-1])
    assert verdicts(admission, ["10.0.0.1"] * 2) == [CROWDED, CUT_ADDRESS]
    admission.leave(inside[0])
    assert verdicts(admission, ["10.0.0.1"]) == [ADMITTED]


def test_one_address_does_not_fill_the_house_by_being_refused() -> None:
    admission = Admission(10_000)
    others = strangers(1_000)
    verdicts(admission, ["192.0.2.1"] * 100_000)
    assert verdicts(admission, others) == [ADMITTED] * len(others)


def fill(admission: Admission, host: str) -> None:
    """With as many of one address as are not cut off."""
    while come(admission, host).verdict not in (CUT, CUT_ADDRESS):
        """Another one."""


@given(st.integers(1, 20_000), st.integers(3, 25_000) | st.none())
def test_however_much_there_is_one_address_does_not_keep_another_out(sockets: int, files: int | None) -> None:
    admission = Admission(sockets, files)
    fill(admission, "192.0.2.1")
    assert verdicts(admission, ["192.0.2.2"]) == [ADMITTED]


@pytest.mark.parametrize("files", [None, 924, 12_000])
def test_nor_do_a_few_of_them_keep_others_from_being_told_when_to_come_back(files: int | None) -> None:
    admission = Admission(10_000, files)
    for number in range(5):
        fill(admission, f"192.0.2.{number}")
    assert verdicts(admission, ["198.51.100.1"] * 2) == [FULL] * 2


def test_where_files_are_few_every_bound_is_lower() -> None:
    told = verdicts(Admission(10_000, files=900), strangers(1_000))
    assert [told.count(verdict) for verdict in (ADMITTED, FULL, CUT)] == [810, 90 - 90 // 8, 100 + 90 // 8]
    told = verdicts(Admission(10_000, files=900), ["10.0.0.1"] * 1_000)
    assert [told.count(verdict) for verdict in (ADMITTED, CROWDED)] == [810 // 4, 90 // 8]
    told = verdicts(Admission(10_000, files=100), ["10.0.0.1"] * 1_000)
    assert [told.count(verdict) for verdict in (ADMITTED, CROWDED)] == [90 // 2, 10 // 8]


def test_it_never_has_more_than_is_asked_of_the_system() -> None:
    told = verdicts(Admission(2_000, files=connections(2_000)), strangers(4_000) + ["127.0.0.1"] * 100)
    assert len(told) - told.count(CUT) == connections(2_000) == 2_000 + 2 * ROOM


# ---- this machine


@pytest.mark.parametrize("near", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("by_address", [True, False])
def test_its_health_check_is_let_in_while_everybody_else_is_cut_off(near: str, by_address: bool) -> None:
    admission = Admission(10_000, files=924, by_address=by_address)
    assert verdicts(admission, strangers(1_000))[-1] == CUT
    assert verdicts(admission, [near] * 12) == [FULL] * (92 // 8) + [CUT]


def test_it_is_refused_but_never_cut_off_for_its_address() -> None:
    told = verdicts(Admission(2_000), ["127.0.0.1"] * 5_000)
    assert [told.count(verdict) for verdict in (ADMITTED, CROWDED, FULL, CUT)] == [500, 2_500, 1_000, 1_000]


# ---- addresses


@pytest.mark.parametrize("exempt", [{"proxies": ("10.0.0.0/8",)}, {"by_address": False}])
def test_many_come_from_the_address_of_a_proxy_and_from_any_if_so_wished(exempt: dict[str, bool]) -> None:
    admission = Admission(2_000, **exempt)  # type: ignore[arg-type]
    assert verdicts(admission, ["10.0.0.1", "::ffff:10.0.0.2"] * 1_500) == [ADMITTED] * 3_000
    assert admission.of_places == {}


def test_an_address_is_what_one_connection_to_the_internet_is_given() -> None:
    admission = Admission(10)
    hosts = [f"2001:db8::{number:x}" for number in range(ADDRESS_SOCKETS)]
    assert set(verdicts(admission, hosts)) == {ADMITTED}
    assert verdicts(admission, ["2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::1"]) == [CROWDED, ADMITTED]


@pytest.mark.parametrize("host", [None, "", "somewhere"])
def test_what_is_no_address_is_counted_in_all_alone(host: str | None) -> None:
    admission = Admission(10)
    entries = [admission.enter(host) for _ in range(500)]
    assert {entry.verdict for entry in entries} == {ADMITTED}
    assert (admission.in_all, admission.of_places) == (500, {})


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
    assert place.dropped == {verdict: 1}


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
    assert place.dropped == {CUT: 1}


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
            await until(lambda: place.dropped[CUT])
            await asyncio.gather(*(visit(peer, chance.choice(talks)) for peer in peers))
        await until(lambda: not admission.in_all)
        assert admission.of_places == {}
    assert {FULL, CUT} <= place.dropped.keys()
