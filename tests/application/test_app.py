"""The application as the server calls it: what breaks behind the doors, and who is sent away from them."""

import asyncio
import json
from typing import Any, NamedTuple

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from chat.application import allowances, app, http
from chat.application.app import WRITER, application
from chat.application.authentication import address_of, asked, credentials_of
from chat.application.metrics import may_read
from chat.domain.accounts import Me
from chat.domain.errors import Refused, StoreError, Unavailable
from chat.logic import keys
from chat.logic.rates import STRANGERS, Rate
from chat.logic.websocket import RESTARTING
from tests.application.fakes import FakeWire, World, turning, until, world
from tests.logic.given import TABLES


class Told(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


def scope(kind: str, path: str, headers: dict[str, str], **beside: Any) -> dict[str, Any]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    common = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": pairs}
    return (
        {"type": kind, "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)} | common | beside
    )


async def ask(
    here: World, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, **beside: Any
) -> Told:
    given = {"host": "x", "content-type": "application/json", **(headers or {})}
    messages = beside.pop("messages", [{"type": "http.request", "body": body, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return dict(messages.pop(0))
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await application(here.node)(scope("http", path, given, method=method, scheme="http", **beside), receive, send)
    start, *parts = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    data = b"".join(part["body"] for part in parts)
    is_json = told.get("content-type", "").endswith("json")
    return Told(start["status"], told, json.loads(data) if is_json and data else data)


def bearer(account: str) -> dict[str, str]:
    """Of the first session of an account that `World` registered, whose secret is its name."""
    return {"authorization": f"Bearer {account}.ann"}


# ---- HTTP


async def test_only_what_is_not_asked_for_to_the_letter_is_looked_for() -> None:
    async def endpoint(request: Request) -> Response:
        return Response(request.method)

    async def searched(scope: Any, receive: Any, send: Any) -> None:
        looked_for.append((scope["type"], scope.get("method"), scope["path"]))

    async def talk_to(websocket: WebSocket) -> None:
        talks.append(websocket.url.path)

    talks: list[str] = []
    looked_for: list[tuple[str, str | None, str]] = []
    routes = [Route("/a", endpoint), Route("/{any}", endpoint), Mount("/m", searched)]
    table = app.straight(routes, talk_to, searched)
    for method, path in (("GET", "/a"), ("HEAD", "/a")):
        await table(scope("http", path, {}, method=method), nothing, nothing)
    assert looked_for == []
    others = [("POST", "/a"), ("GET", "/a/"), ("GET", "/b"), ("GET", "/m/x")]
    for method, path in others:
        await table(scope("http", path, {}, method=method), nothing, nothing)
    await table(scope("http", "/ws", {}, method="GET"), nothing, nothing)
    for path in ("/a", "/ws"):
        await table(scope("websocket", path, {}), nothing, nothing)
    assert looked_for == [*(("http", *other) for other in [*others, ("GET", "/ws")]), ("websocket", None, "/a")]
    assert talks == ["/ws"]


async def nothing(*_: Any) -> Any:
    """As if nobody asked or listened."""


async def test_a_bug_is_one_line_in_the_log_and_tells_nothing() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a detail that is nobody's business")

    here = await world(tables=TABLES._replace(queries={**TABLES.queries, Me: (keys.actor, broken)}))
    ann = await here.register("ann")
    with structlog.testing.capture_logs() as logs:
        told = await ask(here, "GET", "/api/me", headers=bearer(ann))
    assert (told.status, told.body["code"]) == (500, "internal")
    assert "business" not in str(told)
    assert [(line["event"], line["path"]) for line in logs] == [("a request broke", "/api/me")]


@pytest.mark.parametrize("error", [Unavailable("gone"), StoreError("odd")])
async def test_a_store_that_fails_is_503_and_when_to_come_back(error: StoreError) -> None:
    here = await world()
    ann = await here.register("ann")
    here.forget()
    here.faulty.faults["load"] = [error]
    told = await ask(here, "GET", "/api/me", headers=bearer(ann))
    assert (told.status, told.body["code"], told.headers["retry-after"]) == (503, "unavailable", "1")
    assert (await ask(here, "GET", "/api/me", headers=bearer(ann))).status == 200


async def test_what_is_nobodys_is_looked_for_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "STRANGERS", Rate(1, 3))
    here = await world(rate=20)
    ann = await here.register("ann")
    made_up = [{"authorization": f"Bearer nobody{number}.secret"} for number in range(9)]
    assert [(await ask(here, "GET", "/api/me", headers=each)).status for each in made_up[:4]] == [401, 401, 401, 429]
    here.faulty.calls.clear()
    told = await ask(here, "GET", "/api/me", headers=made_up[4])
    assert (told.status, told.body["code"], told.headers["retry-after"]) == (429, "too_fast", "1")
    assert here.faulty.calls == []
    assert (await ask(here, "GET", "/api/me")).status == 401  # nobody's name, nothing to look for
    assert (await ask(here, "POST", "/api/log_in", b"{}")).status == 400
    assert [(await ask(here, "GET", path)).status for path in ("/healthz", "/readyz")] == [200, 200]
    assert (await ask(here, "GET", "/api/me", headers=bearer(ann))).status == 200  # whoever is known goes on
    assert (await ask(here, "GET", "/api/me", headers=made_up[5], client=("192.0.2.1", 1))).status == 401
    here.clock.monotonic += 2
    assert [(await ask(here, "GET", "/api/me", headers=each)).status for each in made_up[6:]] == [401, 401, 429]


async def test_an_address_asks_so_often_and_is_refused_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "REQUESTS", Rate(1, 3))
    monkeypatch.setattr(allowances, "MONITORS", Rate(1, 2))
    monkeypatch.setattr(app, "LATE", 0.001)
    here = await world(rate=20)
    ann = await here.register("ann")
    paths = ["/", "/web/app.js", "/nowhere", "/", "/web/app.js", "/nowhere", "/api/me"]
    told = [await ask(here, "GET", path, headers=bearer(ann)) for path in paths]
    assert [each.status for each in told] == [200, 200, 404, 429, 429, 429, 429]
    assert {(each.body["code"], each.headers["retry-after"]) for each in told[3:]} == {("too_fast", "1")}
    assert told[3].headers["x-content-type-options"] == "nosniff"
    start, _ = await handshake(here, FakeWire(), headers=bearer(ann))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert here.node.counts.turned_away == {"too_fast": 1}
    assert [(await ask(here, "GET", path)).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    far: dict[str, Any] = {"client": ("192.0.2.1", 1)}
    assert (await ask(here, "GET", "/", **far)).status == 200
    assert [(await ask(here, "GET", "/healthz", **far)).status for _ in range(3)] == [200, 200, 429]
    assert [(await ask(here, "GET", "/healthz")).status for _ in range(9)] == [200] * 9  # this machine's own monitor
    here.clock.monotonic += 1
    assert (await ask(here, "GET", "/")).status == 200


async def test_nobody_owns_a_chat_from_a_page_that_only_leads_here() -> None:
    here = await world()
    async with turning(here):
        form = b'{"name":"eve","password":"correct horse"}'
        rebound = {"host": "evil.example:8000", "origin": "http://evil.example:8000"}
        told = await ask(here, "POST", "/api/register", form, rebound)
        assert (told.status, told.body["code"]) == (403, "forbidden")
        assert (await ask(here, "POST", "/api/register", form, {"host": "localhost:8000"})).status == 200


async def test_a_state_that_has_to_be_fetched_is_charged_to_the_address() -> None:
    here = await world(rate=20)
    ann = await here.register("ann")
    here.forget()
    assert (await ask(here, "GET", "/api/me", headers=bearer(ann))).status == 200
    assert (await ask(here, "GET", "/api/me", headers=bearer(ann))).status == 200
    assert here.node.allowances.strangers.look("127.0.0.1").level == STRANGERS.burst - 1


async def test_a_command_is_answered_by_its_turn_and_by_no_other() -> None:
    here = await world()
    ann = await here.register("ann")
    async with turning(here):
        body = b'{"title":"Tea","kind":"public"}'
        told = await asyncio.gather(*(ask(here, "POST", "/api/create_room", body, bearer(ann)) for _ in range(3)))
    assert {answer.status for answer in told} == {200}
    assert len({answer.body["room"] for answer in told}) == 3


async def test_a_sender_who_left_is_no_trouble_to_the_turn() -> None:
    here = await world()
    ann = await here.register("ann")
    here.faulty.gates["commit"] = asyncio.Event()
    async with turning(here):
        asking = asyncio.create_task(
            ask(here, "POST", "/api/create_room", b'{"title":"x","kind":"public"}', bearer(ann))
        )
        await until(lambda: here.faulty.waiting)
        asking.cancel()
        await asyncio.wait([asking])
        before = here.head
        here.faulty.gates["commit"].set()
        await here.node.turns.idle()
    assert here.head == before + 2


async def test_a_body_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_WITHIN", 0.01)
    here = await world()
    ann = await here.register("ann")
    half = [{"type": "http.request", "body": b"{", "more_body": True}]
    told = await ask(here, "POST", "/api/log_out", headers=bearer(ann), messages=half)
    assert (told.status, told.body["code"]) == (400, "malformed")


async def test_who_goes_in_the_middle_of_a_body_is_not_worth_a_line() -> None:
    here = await world()
    ann = await here.register("ann")
    with structlog.testing.capture_logs() as logs:
        told = await ask(here, "POST", "/api/log_out", headers=bearer(ann), messages=[{"type": "http.disconnect"}])
    assert told.status == 200
    assert logs == []


async def test_while_it_drains_a_command_is_to_be_asked_again() -> None:
    here = await world()
    ann = await here.register("ann")
    await here.node.drain(1)
    told = await ask(here, "POST", "/api/create_room", b'{"title":"x","kind":"public"}', bearer(ann))
    assert (told.status, told.body["code"]) == (503, "unavailable")
    assert (await ask(here, "GET", "/readyz")).status == 503
    assert (await ask(here, "GET", "/healthz")).status == 200


# ---- numbers


async def test_numbers_are_in_the_form_that_monitors_read() -> None:
    here = await world()
    await here.register("ann")
    told = await ask(here, "GET", "/metrics")
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'\nchat_commands_total{outcome="ack",type="register"} 1.0\n' in told.body


@pytest.mark.parametrize(
    ("host", "headers", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("10.1.2.3", {}, True),
        ("192.0.2.1", {}, False),
        ("testclient", {}, False),
        (None, {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, False),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, False),
        ("10.1.2.3", {"X-Real-IP": "192.0.2.1"}, False),
        ("::ffff:127.0.0.1", {}, True),
        ("::ffff:10.1.2.3", {}, True),
        ("::ffff:192.0.2.1", {}, False),
        ("fe80::1%eth0", {}, False),
    ],
)
async def test_numbers_are_for_this_machine_and_the_proxies(
    host: str | None, headers: dict[str, str], allowed: bool
) -> None:
    client = (host, 1) if host else None
    request = Request(scope("http", "/metrics", headers, method="GET", client=client))
    assert may_read(request, ("10.0.0.0/8", "::1/128")) == allowed
    here = await world(proxies=("10.0.0.0/8",))
    told = await ask(here, "GET", "/metrics", headers=headers, client=client)
    assert told.status == (200 if allowed else 404)


def test_an_address_is_one_of_ipv4_or_a_whole_network_of_ipv6() -> None:
    def address(host: str | None) -> str:
        return address_of(Request(scope("http", "/", {}, client=(host, 1) if host else None)))

    assert address("192.0.2.1") == "192.0.2.1"
    assert address("2001:db8::1") == address("2001:db8::ffff:1") == "2001:0db8:0000:0000"
    assert address("2001:db8:0:1::1") != address("2001:db8::1")
    assert address(None) == ""
    assert address("::ffff:192.0.2.1") == address("192.0.2.1") != address("::ffff:192.0.2.2")
    assert address("fe80::1%eth0") == address("fe80::2%wlan0") == "fe80:0000:0000:0000"
    assert [address(text) for text in ("testclient", "a:b", "unix:/a%b")] == ["testclient", "a:b", "unix:/a%b"]


@pytest.mark.parametrize(
    ("headers", "token", "cookie"),
    [
        ({}, "", False),
        ({"cookie": "session=c"}, "c", True),
        ({"authorization": "Bearer b"}, "b", False),
        ({"authorization": "bearer b", "cookie": "session=c"}, "b", False),
        ({"authorization": "Bearer ", "cookie": "session=c"}, "", False),
        ({"authorization": "Bearer", "cookie": "session=c"}, "", False),
        ({"authorization": "Basic b", "cookie": "session=c"}, "c", True),
    ],
)
def test_credentials_are_a_bearer_token_if_there_is_one_and_else_the_cookie(
    headers: dict[str, str], token: str, cookie: bool
) -> None:
    request = Request(scope("http", "/", headers, scheme="http"))
    assert credentials_of(request) == (token, cookie)
    assert asked(request).cookie == cookie


async def test_an_empty_bearer_token_asks_for_nobody_though_there_is_a_cookie() -> None:
    here = await world()
    ann = await here.register("ann")
    cookie = {"cookie": f"session={ann}.ann", "origin": "http://x"}
    assert (await ask(here, "GET", "/api/me", headers=cookie)).status == 200
    assert (await ask(here, "GET", "/api/me", headers={**cookie, "authorization": "Bearer "})).status == 401


@pytest.mark.parametrize(("seconds", "told"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (2.5, "3")])
def test_who_comes_back_when_told_is_not_too_early(seconds: float, told: str) -> None:
    assert http.refusal_response(Refused("too_fast", retry_after=seconds)).headers["retry-after"] == told


# ---- websockets


async def handshake(
    here: World, wire: FakeWire, *sent: dict[str, Any], headers: dict[str, str]
) -> list[dict[str, Any]]:
    """What the server is asked to send, until the application has had enough."""
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    where = scope("websocket", "/ws", {"host": "x", **headers}, scheme="ws", subprotocols=[], extensions={})
    where["extensions"] |= {WRITER: wire, "websocket.http.response": {}}
    await application(here.node)(where, receive, send)
    return told


async def test_who_comes_while_it_drains_or_without_its_store_is_told_to_come_back() -> None:
    here = await world()
    ann = await here.register("ann")
    here.forget()
    here.faulty.faults["load"] = [Unavailable("gone")]
    wire = FakeWire()
    assert [message["type"] for message in await handshake(here, wire, headers=bearer(ann))] == ["websocket.accept"]
    assert wire.closed
    assert (wire.closed[0], int(wire.closed[1])) == (RESTARTING, 1_000)

    await here.node.drain(1)
    wire = FakeWire()
    await handshake(here, wire, headers=bearer(ann))
    assert wire.closed
    assert wire.closed[0] == RESTARTING


async def test_who_is_nobody_or_comes_when_it_is_full_is_told_so() -> None:
    here = await world(sockets=1)
    ann = await here.register("ann")
    wire = FakeWire()
    await handshake(here, wire, headers=bearer("nobody"))
    assert wire.closed == (4401, "log in first")
    here.hub.enter(FakeWire(), ann, ann, {})
    wire = FakeWire()
    await handshake(here, wire, headers=bearer(ann))
    assert wire.closed == (4429, "too many connections")


async def test_another_page_is_refused_before_anything_is_accepted() -> None:
    here = await world()
    ann = await here.register("ann")
    told = await handshake(here, FakeWire(), headers={**bearer(ann), "origin": "http://evil.example"})
    assert [message["type"] for message in told] == ["websocket.close"]
