"""The shipped proxy: what it tells a node of a visitor, what it repeats and what not, and what it says itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client import Account, register, request
from tests.containers.proxied import Proxy, proxied
from tests.containers.upstream import HANGS_UP, Upstream, upstreams
from tests.running import free_port, running

pytestmark = pytest.mark.requires("nginx")

FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "elsewhere.example",
    "Forwarded": "for=203.0.113.9",
}


@pytest.fixture
def nodes() -> Iterator[list[Upstream]]:
    with upstreams(2) as nodes:
        yield nodes


@pytest.fixture
def proxy(tmp_path: Path, nodes: list[Upstream]) -> Iterator[Proxy]:
    with proxied(tmp_path / "nginx", [node.port for node in nodes]) as proxy:
        yield proxy


def asked(nodes: list[Upstream]) -> list[Any]:
    return [each for node in nodes for each in node.asked]


def post(proxy: Proxy, body: bytes = b"{}") -> Any:
    return request(proxy.address, "POST", "/api/send_message", body, {"Content-Type": "application/json"})


def test_a_node_is_told_who_asks_by_nobody_but_the_proxy(proxy: Proxy, nodes: list[Upstream]) -> None:
    request(proxy.address, "GET", "/api/me", headers=FORGED)
    [told] = asked(nodes)
    host = f"127.0.0.1:{proxy.port}"
    assert told.headers["x-forwarded-for"] == "127.0.0.1"
    assert told.headers["x-forwarded-proto"] == "http"
    assert told.headers["x-forwarded-host"] == told.headers["host"] == host
    assert "forwarded" not in told.headers


def test_a_proxy_in_front_that_is_named_is_believed(tmp_path: Path, nodes: list[Upstream]) -> None:
    with proxied(tmp_path / "nginx", [node.port for node in nodes], front=["127.0.0.1"]) as proxy:
        request(proxy.address, "GET", "/api/me", headers=FORGED)
    [told] = asked(nodes)
    assert told.headers["x-forwarded-for"] == "203.0.113.9"
    assert told.headers["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/api/../metrics", "/metrics?x"])
def test_the_numbers_are_not_for_the_world(proxy: Proxy, nodes: list[Upstream], path: str) -> None:
    assert request(proxy.address, "GET", path).status == 404
    assert not asked(nodes)


def test_only_a_websocket_is_upgraded(proxy: Proxy, nodes: list[Upstream]) -> None:
    for protocol in ("WebSocket", "h2c"):
        request(proxy.address, "GET", "/ws", headers={"Connection": "upgrade", "Upgrade": protocol})
    websocket, other = asked(nodes)
    assert (websocket.headers["connection"], websocket.headers["upgrade"]) == ("upgrade", "websocket")
    assert "connection" not in other.headers
    assert "upgrade" not in other.headers


def test_what_is_too_large_is_refused_as_a_node_would(proxy: Proxy, nodes: list[Upstream]) -> None:
    assert post(proxy, b"x" * 65_536).status == 200
    answer = post(proxy, b"x" * 65_537)
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "too_large"
    assert len(asked(nodes)) == 1


def test_a_post_whose_node_breaks_off_is_asked_once_and_its_outcome_is_not_known(
    proxy: Proxy, nodes: list[Upstream]
) -> None:
    for node in nodes:
        node.status = HANGS_UP
    answer = post(proxy)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(asked(nodes)) == 1


def test_a_get_whose_node_breaks_off_is_asked_of_the_other_one(proxy: Proxy, nodes: list[Upstream]) -> None:
    nodes[0].status = HANGS_UP
    assert [request(proxy.address, "GET", "/api/me").status for _ in range(4)] == [200] * 4
    assert nodes[0].asked
    assert len(nodes[1].asked) == 4


def test_a_post_goes_to_the_node_that_is_there(proxy: Proxy, nodes: list[Upstream]) -> None:
    nodes[0].stop()
    assert [post(proxy).status for _ in range(4)] == [200] * 4
    assert len(nodes[1].asked) == 4


def test_what_a_node_refuses_is_not_asked_of_the_other_one(proxy: Proxy, nodes: list[Upstream]) -> None:
    """Or whoever provokes it has every node left out."""
    for node in nodes:
        node.status = 503
    assert [request(proxy.address, "GET", "/api/me").status for _ in range(4)] == [503] * 4
    assert len(asked(nodes)) == 4
    for node in nodes:
        node.status = 200
    assert post(proxy).status == 200


def test_without_any_node_the_outcome_is_not_known(tmp_path: Path) -> None:
    with proxied(tmp_path / "nginx", [free_port(), free_port()]) as proxy:
        for _ in range(2):
            answer = post(proxy)
            assert (answer.status, answer.json["code"]) == (503, "unavailable")


def test_a_node_believes_the_proxy_and_the_log_keeps_no_secret(tmp_path: Path) -> None:
    """The log is looked through for everything that the client sends and is given."""
    flags = ("--proxies", "127.0.0.1", "--registration", "open")
    with running(tmp_path, *flags, database="memory:") as server:
        with proxied(tmp_path / "nginx", [server.port]) as proxy:
            ann = register(proxy.address, "ann")
            room = ann.do("create_room", title="Hall", kind="public")["room"]
            ann.do("send_message", room=room, text="for nobody's log")
            ann.ask("search_messages", text="nobody's")
            invite = ann.do("create_invite")["token"]
            register(proxy.address, "bob", invite)
            assert Account(proxy.address).get("me").status == 401
            searched = [line for line in proxy.lines() if "search" in line["asked"]]
        assert [line["asked"] for line in searched] == ["GET /api/search_messages"]
        assert not [line for line in server.lines() if line["level"] != "info"]
