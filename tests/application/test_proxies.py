"""Visitors of a proxy that nobody named look like one: whoever runs the server is told so, once."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.application.fakes import FakeWire, World, world
from tests.application.test_app import ask, handshake
from tests.client import request
from tests.running import running

VISITOR = {"x-forwarded-for": "203.0.113.7"}


async def warnings(here: World, host: str, headers: dict[str, str]) -> list[object]:
    """The addresses that the log names after a request from there."""
    with capture_logs() as lines:
        await ask(here, "GET", "/api/welcome", headers=headers, client=(host, 1))
    return [line["address"] for line in lines if line["log_level"] == "warning" and "--proxies" in line["event"]]


async def test_a_proxy_that_nobody_named_is_told_of_once_for_each_node() -> None:
    for here in (await world(), await world(proxies=("10.0.0.0/8",))):
        assert await warnings(here, "127.0.0.1", {}) == []
        assert await warnings(here, "127.0.0.1", VISITOR) == ["127.0.0.1"]
        for host in ("127.0.0.1", "192.0.2.1"):
            assert await warnings(here, host, VISITOR) == []


async def test_a_websocket_tells_of_it_too() -> None:
    here = await world()
    with capture_logs() as lines:
        await handshake(here, FakeWire(), headers={**VISITOR, "origin": "http://x"})
    assert [line["address"] for line in lines if line["log_level"] == "warning"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("203.0.113.7", "203.0.113.7"),  # the visitor's, which the server has put in the proxy's place
        ("2001:db8::7", "[2001:db8::7]:4711"),
        ("203.0.113.7", "whatever, 203.0.113.7, 10.0.0.2"),
        ("10.0.0.1", ","),  # and which it could not, as there is none
        ("::ffff:10.0.0.1", ","),
    ],
)
async def test_of_a_named_proxy_there_is_nothing_to_tell(host: str, told: str) -> None:
    here = await world(proxies=("10.0.0.0/8",))
    assert await warnings(here, host, {"x-forwarded-for": told}) == []


@pytest.mark.parametrize(("flags", "count"), [((), 1), (("--proxies", "127.0.0.1"), 0)], ids=["unnamed", "named"])
def test_a_real_server_tells_of_it_in_one_line(tmp_path: Path, flags: tuple[str, ...], count: int) -> None:
    with running(tmp_path, *flags, database="memory:") as server:
        for _ in range(3):
            assert request(server.address, "GET", "/api/welcome", None, VISITOR).status == 200
        lines = [line for line in server.lines() if line["level"] == "warning"]
    assert len(lines) == count
    assert all("--proxies" in line["event"] and line["address"] == "127.0.0.1" for line in lines)
