"""The numbers of the process, and a whole scrape of a real server: everything is wired, once, and moves."""

import platform
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from chat.infra.metrics import add_process
from tests.client import Account, Response, Talk, end_of, register, request
from tests.running import Server, running, wait_for


def families(text: str) -> dict[str, Metric]:
    told = list(text_string_to_metric_families(text))
    assert len({family.name for family in told}) == len(told), "told twice"
    return {family.name: family for family in told}


def look(server: Server, **headers: str) -> Response:
    return request(
        server.address, "GET", "/metrics", headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def scrape(server: Server) -> dict[str, float]:
    """Every sample by its name and labels, as they are written."""
    lines = look(server).body.decode().splitlines()
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        yield server


def test_the_process_tells_its_memory_files_and_versions() -> None:
    told = families(generate_latest(add_process(CollectorRegistry(), "3.40.1")).decode())
    assert {name: family.type for name, family in told.items()} == {
        "process_virtual_memory_bytes": "gauge",
        "process_resident_memory_bytes": "gauge",
        "process_start_time_seconds": "gauge",
        "process_cpu_seconds": "counter",
        "process_open_fds": "gauge",
        "process_max_fds": "gauge",
        "python_info": "gauge",
        "chat_sqlite_info": "gauge",
    }
    assert told["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert told["python_info"].samples[0].labels["version"] == platform.python_version()
    assert told["chat_sqlite_info"].samples[0].labels == {"version": "3.40.1"}


async def test_a_scrape_of_a_server_moves_with_what_is_done_to_it(server: Server) -> None:
    ann = register(server.address, "ann")
    room = ann.do("create_room", title="Tea", kind="public")["room"]
    before = scrape(server)
    async with AsyncExitStack() as talks:
        for _ in range(5):
            talk = await talks.enter_async_context(Talk(ann))
            await talk.until(type="hello")
        for number in range(3):
            await talk.ask("send_message", room=room, text=f"number {number}")
        await talk.ask("list_messages", room=room)
        await talk.say("resume", epoch="another", rooms={room: 1})
        await talk.until(type="reset")
        assert Account(server.address, ann.token).post("send_message", room="nowhere", text="hi").status == 404
        assert Account(server.address).post("log_in", name="ann", password="a wrong password").status == 401
        after = scrape(server)
    assert (after["chat_sockets"], after["chat_accounts_connected"]) == (5, 1)
    assert after["process_open_fds"] - before["process_open_fds"] >= 5
    assert after["chat_log_position"] - before["chat_log_position"] == 3
    assert after['chat_commands_total{outcome="ack",type="send_message"}'] == 3
    assert after['chat_commands_total{outcome="not_found",type="send_message"}'] == 1
    assert after['chat_commands_total{outcome="wrong_credentials",type="log_in"}'] == 1
    assert after['chat_queries_total{outcome="answer",type="list_messages"}'] == 1
    assert (after["chat_resumes_total"], after['chat_resets_total{reason="epoch"}']) == (1, 1)
    assert after["chat_commit_seconds_sum"] > before["chat_commit_seconds_sum"] > 0
    assert after[f'chat_sqlite_info{{version="{sqlite3.sqlite_version}"}}'] == 1
    wait_for(lambda: scrape(server)["chat_event_loop_lag_seconds_count"] > 0, "a look at the event loop")
    wait_for(lambda: scrape(server)["chat_sockets"] == 0, "everybody to be gone")


async def test_who_gets_no_hello_is_counted_by_the_reason(server: Server) -> None:
    url = server.address.replace("http", "ws", 1) + "/ws"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, origin="https://elsewhere.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN
    async with connect(url) as nobody:
        assert (await end_of(nobody)).code == 4401
    now = scrape(server)
    assert now['chat_connections_refused_total{code="forbidden"}'] == 1
    assert now['chat_connections_refused_total{code="unauthenticated"}'] == 1


def test_who_is_cut_off_at_the_edge_is_counted_by_the_reason(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"hello?\r\n\r\n")
        while peer.recv(4_096):
            pass
    assert scrape(server)['chat_drops_total{reason="bad_request"}'] == 1


def test_a_scrape_is_whole_and_in_the_form_that_monitors_read(server: Server) -> None:
    told = look(server)
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = set(families(told.body.decode()))
    assert {"chat_turns", "chat_drops", "process_resident_memory_bytes", "python_info", "chat_sqlite_info"} <= names
    assert look(server, X_Forwarded_For="192.0.2.1").status == 404
