"""Every combination of method, origin, credentials and content type, against a table of what the contract allows.

The table is written from the contract, not from the rules: by word, without their functions. All combinations are asked
of the application itself, and some hundreds, chosen by a seed, of a server over its sockets.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from itertools import product
from random import Random
from typing import Any, Final, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chat.application.app import application
from tests.application.fakes import World, turning, world
from tests.application.test_app import scope
from tests.client import Account, Response, request
from tests.running import Server

HOST: Final = "x"
SAMPLE: Final = 400
NAMED: Final = "https://chat.example.org"

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

# By what it is: how it is written for the page's own host, and whether it is the host and port that is asked, or named.
ORIGINS: Final[dict[str, tuple[str | None, str]]] = {
    "absent": (None, "-"),
    "own": ("http://{}", "own"),
    "own on https": ("https://{}", "own"),
    "named": (NAMED, "named"),
    "foreign": ("https://evil.example", ""),
    "null": ("null", ""),
    "empty": ("", ""),
    "own host, another port": ("http://{}:1", ""),
    "own, in another scheme": ("ftp://{}", ""),
    "own, in upper case": ("HTTP://{}", ""),
    "own, with a dot behind": ("http://{}.", ""),
    "own, with a user": ("http://user@{}", ""),
    "own, with a path": ("http://{}/", ""),
    "own as a beginning": ("http://{}.evil.example", ""),
    "own as an end": ("http://evil.example?http://{}", ""),
    "own among several": ("http://{} https://evil.example", ""),
    "named among several": (f"{NAMED}, https://evil.example", ""),
    "named on http": (NAMED.replace("https", "http"), ""),
}
SITES: Final[dict[str | None, bool]] = {
    None: False,
    "same-origin": True,
    "none": True,
    "same-site": False,
    "cross-site": False,
    "SAME-ORIGIN": False,
}
# What is sent, whether it is somebody's, and whether a browser sends it by itself.
CREDENTIALS: Final[dict[str, tuple[dict[str, str], bool, bool]]] = {
    "nobody": ({}, False, False),
    "a token": ({"authorization": "Bearer GOOD"}, True, False),
    "a wrong token": ({"authorization": "Bearer BAD"}, False, False),
    "an empty token": ({"authorization": "Bearer "}, False, False),
    "a cookie": ({"cookie": "session=GOOD"}, True, True),
    "a wrong cookie": ({"cookie": "session=BAD"}, False, True),
    "an empty cookie": ({"cookie": "session="}, False, True),
    "the cookie of another scheme": ({"cookie": "__Host-session=GOOD"}, False, False),
    "a cookie, and a password by Basic": ({"cookie": "session=GOOD", "authorization": "Basic YTpi"}, True, True),
    "both": ({"cookie": "session=GOOD", "authorization": "Bearer GOOD"}, True, False),
    "a cookie and a wrong token": ({"cookie": "session=GOOD", "authorization": "Bearer BAD"}, False, False),
    "a cookie and an empty token": ({"cookie": "session=GOOD", "authorization": "Bearer "}, False, False),
    "a wrong cookie and a token": ({"cookie": "session=BAD", "authorization": "Bearer GOOD"}, True, False),
}
TYPES: Final[dict[str | None, bool]] = {
    None: False,
    "": False,
    "application/json": True,
    "application/json; charset=utf-8": True,
    "Application/JSON": True,
    "text/plain": False,
    "application/x-www-form-urlencoded": False,
    "multipart/form-data; boundary=x": False,
    "application/json, text/plain": False,
    "text/plain; application/json": False,
    "application/jsonp": False,
}


class Case(NamedTuple):
    method: str
    origin: str
    site: str | None
    credentials: str
    type: str | None
    named: bool  # whether the settings name origins

    def headers(self, host: str, good: str) -> dict[str, str]:
        origin, _ = ORIGINS[self.origin]
        sent, _, _ = CREDENTIALS[self.credentials]
        bad = good[:-1] + ("x" if good[-1] != "x" else "y")
        found = {name: value.replace("GOOD", good).replace("BAD", bad) for name, value in sent.items()}
        origin = None if origin is None else origin.format(host)
        beside = {"origin": origin, "sec-fetch-site": self.site, "content-type": self.type}
        return found | {name: value for name, value in beside.items() if value is not None}

    @property
    def is_somebody(self) -> bool:
        return CREDENTIALS[self.credentials][1]

    @property
    def is_by_cookie(self) -> bool:
        return CREDENTIALS[self.credentials][2]

    @property
    def is_allowed_origin(self) -> bool:
        return ORIGINS[self.origin][1] == ("named" if self.named else "own")


def of_command(case: Case) -> int:
    """The contract: with the cookie, or with an Origin, an allowed Origin or the browser's word that it is from here;
    always JSON; and somebody who asks."""
    if case.method != "POST":
        return 405
    if (case.is_by_cookie or case.origin != "absent") and not (case.is_allowed_origin or SITES[case.site]):
        return 403
    if not TYPES[case.type]:
        return 400
    return 200 if case.is_somebody else 401


def of_query(case: Case) -> int:
    """Changes nothing, and no page from elsewhere can read what it answers."""
    if case.method not in ("GET", "HEAD"):
        return 405
    return 200 if case.is_somebody else 401


def of_handshake(case: Case) -> str:
    """A page needs an allowed Origin, a program a token."""
    if case.origin == "absent" and case.is_by_cookie:
        return "403"
    if case.origin != "absent" and not case.is_allowed_origin:
        return "403"
    return "hello" if case.is_somebody else "4401"


def cases(methods: Iterable[str], types: Iterable[str | None], named: Iterable[bool] = (False, True)) -> list[Case]:
    return [Case(*values) for values in product(methods, ORIGINS, SITES, CREDENTIALS, types, named)]


COMMANDS: Final = [*cases(["POST"], TYPES), *cases([m for m in METHODS if m != "POST"], ["application/json"], [False])]
QUERIES: Final = cases(METHODS, [None, "text/plain"], [False])


def test_the_table_is_neither_empty_nor_full() -> None:
    """Each answer has its cases, and those that pass are few."""
    told = Counter(of_command(case) for case in COMMANDS if case.method == "POST")
    assert set(told) == {200, 400, 401, 403}
    assert told[200] < sum(told.values()) / 10
    assert Counter(of_query(case) for case in QUERIES).keys() == {200, 401, 405}
    assert {of_handshake(case) for case in COMMANDS} == {"403", "4401", "hello"}


class Door:
    """The application, asked directly."""

    def __init__(self, here: World, good: str) -> None:
        self._app = application(here.node)
        self._good = good

    async def ask(self, case: Case, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        headers = {"host": HOST, **case.headers(HOST, self._good)}
        started: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.append(message)

        await self._app(scope("http", path, headers, method=case.method, scheme="http"), receive, send)
        [start] = started
        return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}


def has_no_cors(headers: Iterable[str]) -> bool:
    return not any(name.lower().startswith("access-control") for name in headers)


@pytest.mark.parametrize("named", [False, True])
async def test_only_the_allowed_combinations_carry_out_a_command(named: bool) -> None:
    here = await world(origins=(NAMED,) if named else ())
    ann = await here.register("ann")
    door = Door(here, f"{ann}.ann")
    wrong = []
    async with turning(here):
        for case in COMMANDS:
            if case.named == named:
                status, headers = await door.ask(case, "/api/rename_account", b'{"name":"ann"}')
                if status != of_command(case) or not has_no_cors(headers) or "set-cookie" in headers:
                    wrong.append((case, of_command(case), status, headers))
    assert not wrong, (len(wrong), wrong[:5])


async def test_whoever_asks_is_answered_and_no_other_page_can_read_it() -> None:
    here = await world()
    ann = await here.register("ann")
    door = Door(here, f"{ann}.ann")
    wrong = []
    for case in QUERIES:
        status, headers = await door.ask(case, "/api/me", b"")
        if status != of_query(case) or not has_no_cors(headers):
            wrong.append((case, of_query(case), status, headers))
    assert not wrong, (len(wrong), wrong[:5])
    assert headers["cross-origin-resource-policy"] == "same-origin"


def over_sockets(server: Server, account: Account, case: Case, path: str, body: bytes | None) -> Response:
    host = server.address.removeprefix("http://")
    return request(server.address, case.method, path, body, case.headers(host, account.token))


def test_over_sockets_it_is_the_same(server: Server, bob: Account) -> None:
    chance = Random(1)
    passing = [case for case in COMMANDS if of_command(case) == 200 and not case.named]
    others = [case for case in COMMANDS if not case.named]
    for case in chance.sample(others, SAMPLE) + chance.sample(passing, SAMPLE // 8):
        response = over_sockets(server, bob, case, "/api/rename_account", b'{"name":"bob"}')
        assert (response.status, case) == (of_command(case), case)
        assert has_no_cors(response.headers)
    for case in chance.sample(QUERIES, SAMPLE // 2):
        response = over_sockets(server, bob, case, "/api/me", None)
        assert (response.status, case) == (of_query(case), case)
        assert has_no_cors(response.headers)


async def shaken(server: Server, account: Account, case: Case) -> str:
    """How a handshake ends: the status that it is refused with, the code that it is closed with, or hello."""
    headers = case.headers(server.address.removeprefix("http://"), account.token)
    try:
        async with connect(server.address.replace("http", "ws", 1) + "/ws", additional_headers=headers) as websocket:
            try:
                return str(json.loads(await asyncio.wait_for(websocket.recv(), 10))["type"])
            except ConnectionClosed:
                return str(websocket.close_code)
    except InvalidStatus as refused:
        response = refused.response
    return f"{response.status_code}" if has_no_cors(response.headers) else "CORS"


async def test_only_the_allowed_combinations_open_a_websocket(server: Server, bob: Account) -> None:
    """What the browser says of the site counts for nothing here: one that can connect sends an Origin."""
    handshakes = [case for case in cases(["GET"], [None], [False]) if case.site in (None, "same-origin", "cross-site")]
    told = [(case, of_handshake(case), await shaken(server, bob, case)) for case in handshakes]
    wrong = [(case, expected, found) for case, expected, found in told if expected != found]
    assert not wrong, (len(wrong), wrong[:5])
