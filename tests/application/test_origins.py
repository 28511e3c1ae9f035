"""Which pages may act with somebody's cookie, and what a proxy is believed."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from chat.application.authentication import asked
from chat.logic.origins import may_connect, may_write
from tests.application.test_app import scope
from tests.client import PASSWORD, Account, Response, register, request
from tests.running import Server, running

JSON = {"Content-Type": "application/json"}
EVIL = "http://evil.example"


def rename(account: Account, cookie: bool, **headers: str) -> Response:
    """A command as a page would send it, by cookie, or a program, by bearer token."""
    who = {"Cookie": f"session={account.token}"} if cookie else {"Authorization": f"Bearer {account.token}"}
    beside = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(account.address, "POST", "/api/rename_account", b'{"name":"bob"}', {**JSON, **who, **beside})


MATRIX: dict[str, tuple[bool, dict[str, str], bool]] = {
    "a program": (False, {}, True),
    "a program that names this origin": (False, {"Origin": "own"}, True),
    "a program that names another": (False, {"Origin": EVIL}, False),
    "a program in another page's name": (False, {"Sec_Fetch_Site": "cross-site", "Origin": EVIL}, False),
    "a cookie and no more": (True, {}, False),
    "a cookie and this origin": (True, {"Origin": "own"}, True),
    "a cookie and this origin on https": (True, {"Origin": "own https"}, True),
    "a cookie and another origin": (True, {"Origin": EVIL}, False),
    "a cookie and no origin at all": (True, {"Origin": "null"}, False),
    "a cookie and this host on another port": (True, {"Origin": "http://127.0.0.1:1"}, False),
    "a cookie and an origin that begins like this one": (True, {"Origin": "own longer"}, False),
    "a cookie from this site's page": (True, {"Sec_Fetch_Site": "same-origin"}, True),
    "a cookie typed by hand": (True, {"Sec_Fetch_Site": "none"}, True),
    "a cookie from a neighbour": (True, {"Sec_Fetch_Site": "same-site"}, False),
    "a cookie from elsewhere": (True, {"Sec_Fetch_Site": "cross-site"}, False),
    "a cookie from elsewhere, this origin": (True, {"Sec_Fetch_Site": "cross-site", "Origin": "own"}, True),
}


@pytest.mark.parametrize("case", MATRIX)
def test_a_page_may_act_here_only_from_here(server: Server, bob: Account, case: str) -> None:
    cookie, headers, allowed = MATRIX[case]
    own = {
        "own": server.address,
        "own https": server.address.replace("http", "https"),
        "own longer": f"{server.address}.evil.example",
    }
    response = rename(bob, cookie, **{name: own.get(value, value) for name, value in headers.items()})
    assert (response.status, response.json.get("code")) == ((200, None) if allowed else (403, "forbidden"))


def test_asking_changes_nothing_so_any_page_may_ask(server: Server, bob: Account) -> None:
    headers = {"Cookie": f"session={bob.token}", "Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    response = request(server.address, "GET", "/api/me", None, headers)
    assert response.status == 200
    assert not any(name.startswith("access-control") for name in response.headers)  # but it cannot read the answer
    response = request(server.address, "OPTIONS", "/api/rename_account", None, headers)
    assert response.status == 405
    assert not any(name.startswith("access-control") for name in response.headers)


def test_nobody_is_logged_in_from_another_page(server: Server, bob: Account) -> None:
    for command in ("log_in", "register"):
        body = f'{{"name":"bob","password":"{PASSWORD}"}}'.encode()
        response = request(server.address, "POST", f"/api/{command}", body, {**JSON, "Origin": EVIL})
        assert (response.status, response.json["code"]) == (403, "forbidden")
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize(("scheme", "origin", "allowed"), [("https", "https", True), ("https", "http", False)])
def test_on_https_a_page_that_came_by_http_is_from_elsewhere(scheme: str, origin: str, allowed: bool) -> None:
    """Whoever stands on the way could have written it."""
    headers = {"host": "x", "cookie": "__Host-session=c", "origin": f"{origin}://x", "sec-fetch-site": "cross-site"}
    page = HTTPConnection(scope("http", "/", headers, scheme=scheme, method="POST"))
    assert may_write(asked(page), ()) is allowed
    page = HTTPConnection(scope("websocket", "/ws", headers, scheme=scheme.replace("http", "ws")))
    assert may_connect(asked(page), ()) is allowed


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_origins_none_counts(server: Server, bob: Account, order: tuple[int, int]) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    connection.putrequest("POST", "/api/rename_account")
    body = b'{"name":"bob"}'
    beside = {**JSON, "Cookie": f"session={bob.token}", "Content-Length": str(len(body))}
    both = (server.address, EVIL)
    for name, value in [*beside.items(), *(("Origin", both[index]) for index in order)]:
        connection.putheader(name, value)
    connection.endheaders(body)
    status = Response(connection.getresponse()).status
    connection.close()
    assert status == 403


async def status_of(address: str, headers: dict[str, str]) -> int | str:
    """How a handshake ends: the status that it is refused with, or the first frame's type."""
    try:
        async with connect(address.replace("http", "ws", 1) + "/ws", additional_headers=headers) as websocket:
            return "hello" if b'"hello"' in await websocket.recv(decode=False) else "?"
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_websocket_opens_to_own_pages_and_to_programs_with_a_token(server: Server, bob: Account) -> None:
    bearer, cookie = {"Authorization": f"Bearer {bob.token}"}, {"Cookie": f"session={bob.token}"}
    own, evil = {"Origin": server.address}, {"Origin": EVIL}
    assert await status_of(server.address, bearer) == "hello"
    assert await status_of(server.address, bearer | own) == "hello"
    assert await status_of(server.address, cookie | own) == "hello"
    assert await status_of(server.address, bearer | evil) == 403
    assert await status_of(server.address, cookie | evil) == 403
    assert await status_of(server.address, cookie) == 403
    assert await status_of(server.address, evil) == 403


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxied")
    flags = ("--proxies", "10.0.0.0/8 127.0.0.1", "--origins", "https://chat.example.org,https://other.example")
    with running(folder, *flags, "--registration", "open", database="memory:") as server:
        register(server.address, "owner")
        yield server


def log_in(server: Server, name: str, **headers: Any) -> Response:
    body = f'{{"name":"{name}","password":"{PASSWORD}"}}'.encode()
    return request(server.address, "POST", "/api/log_in", body, {**JSON, **headers})


async def test_behind_a_proxy_that_speaks_https_the_cookie_is_bound_to_the_host(behind_proxy: Server) -> None:
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    response = log_in(behind_proxy, "owner", **https)
    crumbs = [part.strip().lower() for part in response.headers["set-cookie"].split(";")]
    assert crumbs[0].startswith("__host-session=")
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= set(crumbs)
    assert not any(crumb.startswith("domain") for crumb in crumbs)
    token, origin = response.json["token"], {"Origin": "https://chat.example.org"}
    host, plain = {"Cookie": f"__Host-session={token}"}, {"Cookie": f"session={token}"}
    assert request(behind_proxy.address, "GET", "/api/me", None, host | https).status == 200
    assert request(behind_proxy.address, "GET", "/api/me", None, plain | https).status == 401
    assert request(behind_proxy.address, "GET", "/api/me", None, host).status == 401
    assert await status_of(behind_proxy.address, host | https | origin) == "hello"
    out = request(behind_proxy.address, "POST", "/api/log_out", b"{}", {**JSON, **host, **https, **origin})
    assert out.status == 200
    assert out.headers["set-cookie"].startswith("__Host-session=")
    assert "secure" in out.headers["set-cookie"].lower()


async def test_named_origins_are_the_only_ones(behind_proxy: Server) -> None:
    bearer = {"Authorization": f"Bearer {log_in(behind_proxy, 'owner').json['token']}"}
    for origin, allowed in (
        ("https://chat.example.org", True),
        ("https://other.example", True),
        ("http://chat.example.org", False),
        (behind_proxy.address, False),
        ("null", False),
    ):
        assert await status_of(behind_proxy.address, bearer | {"Origin": origin}) == ("hello" if allowed else 403)
        response = log_in(behind_proxy, "owner", Origin=origin)
        assert response.status == (200 if allowed else 403)


def test_who_is_no_proxy_is_not_believed(server: Server, bob: Account) -> None:
    response = log_in(server, "bob", **{"X-Forwarded-Proto": "https"})
    assert response.headers["set-cookie"].startswith("session=")


def test_a_proxy_that_is_not_named_is_not_believed_though_others_are(tmp_path: Path) -> None:
    with running(tmp_path, "--proxies", "10.0.0.0/8 192.0.2.1", "--registration", "open", database="memory:") as server:
        register(server.address, "owner")
        for claim in ("192.0.2.7", "10.0.0.1", "127.0.0.1, 10.0.0.1"):
            response = log_in(server, "owner", **{"X-Forwarded-Proto": "https", "X-Forwarded-For": claim})
            assert response.headers["set-cookie"].startswith("session=")
            assert "secure" not in response.headers["set-cookie"].lower()
            plain = {"Cookie": f"session={response.json['token']}", "X-Forwarded-Proto": "https"}
            assert request(server.address, "GET", "/api/me", None, plain).status == 200


def test_limits_count_the_address_that_a_proxy_names(behind_proxy: Server) -> None:
    def guess(address: str) -> int:
        return log_in(behind_proxy, "nobody", **{"X-Forwarded-For": address}).status

    statuses = [guess("2001:db8::1") for _ in range(30)]
    assert 429 in statuses
    assert guess("2001:db8::2") == 429  # one connection has a whole /64
    assert guess("2001:db8:0:1::1") == 401
    assert guess("192.0.2.1") == 401
    assert guess("192.0.2.2, 10.1.2.3") == 401
