"""The HTTP door: what a request has to look like, and what every answer carries."""

import http.client
import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.client import PASSWORD, Account, Response, register, request
from tests.running import Server, wait_for

JSON = {"Content-Type": "application/json"}


def post(account: Account, command: str, body: bytes, **headers: str) -> Response:
    given = {"Authorization": f"Bearer {account.token}", **JSON}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request(account.address, "POST", f"/api/{command}", body, given)


def raw(server: Server, data: bytes) -> bytes:
    """What the server says to these very bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.fixture(scope="module")
def room(ann: Account, bob: Account) -> str:
    return str(ann.do("create_room", title="Tea", kind="private", members=[bob.id])["room"])


# ---- what a request has to look like


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_a_command_has_to_come_as_json(ann: Account, given: str) -> None:
    response = post(ann, "create_room", b'{"title":"x","kind":"public"}', Content_Type=given)
    assert (response.status, response.json["code"], response.json["field"]) == (400, "malformed", "content-type")


def test_the_content_type_may_name_a_charset_in_any_case(ann: Account, room: str) -> None:
    body = json.dumps({"room": room, "text": "hi"}).encode()
    assert post(ann, "send_message", body, Content_Type="Application/JSON; charset=utf-8").status == 200


UNREADABLE = [b"", b"[]", b"7", b"null", b'{"title":', b"\xff", b"[" * 60_000, b'{"title":"\\ud800"}']


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:20]))
def test_a_body_that_cannot_be_read_is_refused(ann: Account, body: bytes) -> None:
    response = post(ann, "create_room", body)
    assert (response.status, response.json["code"]) == (400, "malformed")


def test_the_body_may_name_its_type_but_no_other(ann: Account, room: str) -> None:
    fields = {"room": room, "text": "hi"}
    assert post(ann, "send_message", json.dumps({"type": "send_message", **fields}).encode()).status == 200
    response = post(ann, "send_message", json.dumps({"type": "join_room", **fields}).encode())
    assert (response.status, response.json["field"]) == (400, "type")


def test_a_body_has_at_most_64_kib(ann: Account) -> None:
    fits = b'{"title":"x","kind":"odd","more":"' + b"a" * (64 * 1024)
    assert post(ann, "create_room", fits[: 64 * 1024 - 2] + b'"}').status == 400
    response = post(ann, "create_room", fits[: 64 * 1024 - 1] + b'"}')
    assert (response.status, response.json["code"]) == (413, "too_large")


def test_nobody_is_waited_for_who_goes_in_the_middle_of_a_body(server: Server, ann: Account) -> None:
    head = f"POST /api/create_room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann.token}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        assert ann.get("me").status == 200
    assert ann.get("me").status == 200  # and the log has no trace of it: see `server`


def test_a_host_or_a_query_that_is_nonsense_breaks_nothing(server: Server, ann: Account) -> None:
    rest = f"\r\nCookie: session={ann.token}\r\nConnection: close\r\n\r\n".encode()
    for line in (b"Host: [", b"Host: a b", b"Host: x:y", b"X: y"):
        told = raw(server, b"GET /api/me?x=\xff HTTP/1.1\r\n" + line + rest)
        assert told.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), told
    evil = b"POST /api/log_out HTTP/1.1\r\nHost: [\r\nOrigin: http://]" + rest
    assert raw(server, evil).startswith(b"HTTP/1.1 403")


def test_a_head_that_does_not_end_is_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(10):
            connection.sendall(b"X-Filler: " + b"x" * 10_000 + b"\r\n")
        told = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert told.startswith(b"HTTP/1.1 431 ")


# ---- questions in a URL


def test_fields_of_a_question_come_as_strings(ann: Account, bob: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Strings", kind="public")["room"]
    for number in range(5):
        ann.do("send_message", room=room, text=f"number {number}")
    page = ann.ask("list_messages", room=room, before=6, limit="2")
    assert [message["seq"] for message in page["messages"]] == [4, 5]
    assert page["more"] is True
    around = ann.ask("list_messages", room=room, around=5, limit=3)
    assert [message["seq"] for message in around["messages"]] == [4, 5, 6]
    after = ann.ask("list_messages", room=room, after=5)
    assert ([message["seq"] for message in after["messages"]], after["more"]) == ([6, 7], False)
    named = ann.ask("list_accounts", accounts=[bob.id, cat.id])["accounts"]
    assert [account["name"] for account in named] == ["bob", "cat"]
    assert [account["name"] for account in ann.ask("list_accounts", accounts=bob.id)["accounts"]] == ["bob"]


def test_fields_that_no_question_has_are_ignored(ann: Account) -> None:
    assert ann.ask("me", colour="red", before="soon")["account"]["id"] == ann.id


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "room"),
        ({"room": "x", "limit": 0}, "limit"),
        ({"room": "x", "limit": 101}, "limit"),
        ({"room": "x", "limit": "many"}, "limit"),
        ({"room": "x", "before": 2**53}, "before"),
        ({"room": "a b"}, "room"),
    ],
    ids=str,
)
def test_a_question_that_is_malformed_names_the_field(ann: Account, fields: dict[str, Any], field: str) -> None:
    response = ann.get("list_messages", **fields)
    assert (response.status, response.json["code"], response.json["field"]) == (400, "malformed", field)


# ---- the id of a command


def test_the_same_key_gets_the_first_answer(ann: Account, room: str) -> None:
    first = ann.do("send_message", key="one key", room=room, text="hi")
    assert ann.do("send_message", key="one key", room=room, text="something else") == first
    assert ann.do("create_room", key="one key", title="x", kind="public") == first
    other = ann.do("send_message", key="another key", room=room, text="hi")
    assert other["seq"] == first["seq"] + 1
    assert ann.do("send_message", room=room, text="hi") != ann.do("send_message", room=room, text="hi")


def test_the_body_may_hold_the_id_too_and_the_header_wins(ann: Account, room: str) -> None:
    first = ann.do("send_message", room=room, text="hi", id="in the body")
    assert ann.do("send_message", key="in the body", room=room, text="hi") == first
    assert ann.do("send_message", key="in the head", room=room, text="hi", id="in the body") != first


def test_ids_of_two_accounts_have_nothing_to_do_with_each_other(ann: Account, bob: Account, room: str) -> None:
    one = ann.do("send_message", key="shared", room=room, text="ann")
    two = bob.do("send_message", key="shared", room=room, text="bob")
    assert one["seq"] < two["seq"]


@pytest.mark.parametrize("key", ["", "k" * 65, "ä", "tab\there"])
def test_a_key_is_1_to_64_printable_characters(ann: Account, room: str, key: str) -> None:
    response = post(ann, "send_message", b"{}", **{"Idempotency-Key": key})
    assert response.status == 400
    body = json.dumps({"room": room, "text": "hi"}).encode()
    response = post(ann, "send_message", body, **{"Idempotency-Key": key})
    assert (response.status, response.json["field"]) == (400, "idempotency-key")


def test_a_refusal_is_not_kept(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Later", kind="private")["room"]
    assert bob.post("send_message", key="too soon", room=room, text="hi").status == 404
    ann.do("add_member", room=room, account=bob.id)
    assert bob.do("send_message", key="too soon", room=room, text="hi")["seq"] == 4


@pytest.mark.parametrize("secret", ["token", "password"])
def test_a_secret_is_told_once(server: Server, ann: Account, secret: str) -> None:
    eve = register(server.address, f"eve.{secret}")
    wishes: list[tuple[str, dict[str, str]]] = (
        [("create_invite", {}), ("create_bot", {"name": "robot"})]
        if secret == "token"
        else [("reset_password", {"account": eve.id})]
    )
    for command, fields in wishes:
        first = ann.do(command, key=f"once {command}", **fields)
        again = ann.do(command, key=f"once {command}", **fields)
        assert first.pop(secret)
        assert again == first


def test_a_new_password_that_was_set_is_not_refused_when_asked_again(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.again")
    change = {"old": PASSWORD, "new": PASSWORD[::-1]}
    assert eve.do("change_password", key="change", **change) == {}
    assert eve.do("change_password", key="change", **change) == {}
    response = eve.post("change_password", key="another", **change)
    assert (response.status, response.json["code"], response.json["field"]) == (401, "wrong_credentials", "old")


def test_logging_in_is_never_a_repeat(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.in")
    key = {"key": "log in"}
    eve.do("rename_account", **key, name="eve.in.")
    one, two = (Account(server.address).do("log_in", **key, name="eve.in", password=PASSWORD) for _ in "12")
    assert one["token"] != two["token"]
    assert one["account"] == two["account"] == eve.id
    first = Account(server.address).do("register", key="same", name="eve.1", password=PASSWORD)
    second = Account(server.address).do("register", key="same", name="eve.2", password=PASSWORD)
    assert first["account"] != second["account"]


# ---- answers


def test_who_is_not_logged_in_is_told_so(server: Server, ann: Account) -> None:
    for token in ("", "x", f"{ann.id}.", f"{ann.id}.wrong", ".x", "a" * 300, f"{ann.token}x", "nobody.secret"):
        for response in (Account(server.address, token).get("me"), Account(server.address, token).post("log_out")):
            assert (response.status, response.json["code"]) == (401, "unauthenticated")
            assert response.headers["www-authenticate"] == "Bearer"


def test_a_refusal_is_problem_details(ann: Account) -> None:
    response = ann.get("room", room="nowhere")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json == {
        "title": "not_found",
        "status": 404,
        "code": "not_found",
        "detail": "There is no such room, or you cannot see it.",
        "field": "room",
    }


def test_an_answer_is_not_for_keeping(ann: Account) -> None:
    response = ann.get("me")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/nothing", "/api/", "/api", "/nothing", "/ws", "/web/nothing.js", "/api/me/x"])
def test_what_is_not_there_is_not_found(server: Server, path: str) -> None:
    response = request(server.address, "GET", path)
    assert (response.status, response.json["code"], response.json["status"]) == (404, "not_found", 404)
    assert path in response.json["detail"]
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/send_message", {"POST"}),
        ("POST", "/api/me", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
        ("PUT", "/", {"GET", "HEAD"}),
    ],
)
def test_another_method_names_those_that_are_allowed(server: Server, method: str, path: str, allowed: set[str]) -> None:
    response = request(server.address, method, path, b"{}" if method != "GET" else None, JSON)
    assert (response.status, response.json["status"]) == (405, 405)
    assert (response.json["code"], response.json["field"]) == ("malformed", "method")
    assert response.json["detail"] == f"{path} does not take {method}."
    assert set(response.headers["allow"].split(", ")) == allowed
    assert response.headers["content-type"] == "application/problem+json"


OUTSIDE = ["/web/../http.py", "/web/%2e%2e/http.py", "/web/%00", "/web/" + "x" * 5_000, "/web//etc/passwd"]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path[:20])
def test_nothing_but_the_client_is_handed_out(server: Server, path: str) -> None:
    told = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert told.startswith(b"HTTP/1.1 404"), told[:200]


def test_pages_and_answers_carry_what_keeps_browsers_from_harm(server: Server, ann: Account) -> None:
    page = request(server.address, "GET", "/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    for response in (page, ann.get("me"), ann.get("nothing"), request(server.address, "GET", "/web/index.html")):
        parts = response.headers["content-security-policy"].split(";")
        policy = dict(part.strip().partition(" ")[::2] for part in parts)
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in response.headers
        assert "server" not in response.headers


def test_all_that_the_page_asks_for_is_there(server: Server) -> None:
    page = request(server.address, "GET", "/").body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", page)  # the policy would not let it run
    for path in re.findall(r'(?:src|href)="(/[^"#]+)"', page):
        assert request(server.address, "GET", path).status == 200, path


def test_the_process_lives_and_wants_traffic(server: Server) -> None:
    assert request(server.address, "GET", "/healthz").status == 200
    ready = request(server.address, "GET", "/readyz")
    assert (ready.status, ready.json) == (200, {"store": "ok", "broker": "ok"})
    assert request(server.address, "HEAD", "/healthz").status == 200


def test_a_connection_is_used_again(server: Server, ann: Account) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=10)
    bearer = {"Authorization": f"Bearer {ann.token}"}
    for path in ("/api/me", "/api/nothing", "/api/list_rooms"):
        connection.request("GET", path, headers=bearer)
        socket_before = connection.sock
        assert connection.getresponse().read()
        assert connection.sock is socket_before is not None
    connection.close()


def test_requests_in_a_row_are_answered_in_order(server: Server, ann: Account) -> None:
    bearer = f"Authorization: Bearer {ann.token}\r\n"
    data = "".join(f"GET /api/{path} HTTP/1.1\r\nHost: x\r\n{bearer}\r\n" for path in ("me", "list_rooms", "nothing"))
    told = raw(server, data.encode() + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", told)] == [200, 200, 404, 200]


def test_one_id_sent_many_times_at_once_makes_one_message(server: Server, ann: Account) -> None:
    room = ann.do("create_room", title="Once", kind="private")["room"]
    body = json.dumps({"room": room, "text": "once"})
    bearer = f"Host: x\r\nAuthorization: Bearer {ann.token}\r\n"
    head = f"{bearer}Content-Type: application/json\r\nIdempotency-Key: once\r\nConnection: close\r\n"
    sockets = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(200)]
    told = []
    for connection in sockets:
        data = f"POST /api/send_message HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
        connection.sendall(data.encode())
    for connection in sockets:
        told.append(b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")[2])  # noqa: B023
        connection.close()
    assert {json.loads(answer)["seq"] for answer in told} == {3}
    assert [message["seq"] for message in ann.ask("list_messages", room=room)["messages"]] == [3]


def test_the_log_says_where_it_listens(server: Server) -> None:
    wait_for(lambda: any(line["event"] == "listening" for line in server.lines()), "the line")
    [line] = [line for line in server.lines() if line["event"] == "listening"]
    assert line["address"] == server.address
