"""Starting, stopping and starting again: what whoever runs a chat sees of it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.client import PASSWORD, Account, Talk, register, request
from tests.running import ROOT, Server, clean_environment, running, wait_for


def run(*flags: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "chat.py"), *flags],
        cwd=folder,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


# ---- settings


def test_a_wrong_setting_ends_it_with_one_line(tmp_path: Path) -> None:
    ended = run("--port", "70000", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "chat: --port (CHAT_PORT) is '70000'; allowed: a number from 0 to 65535\n"


def test_a_setting_may_come_from_the_environment_and_the_flag_wins(tmp_path: Path) -> None:
    ended = run(folder=tmp_path, CHAT_PORT="soon")
    assert ended.returncode == 2
    assert "CHAT_PORT" in ended.stderr
    ended = run("--port", "later", folder=tmp_path, CHAT_PORT="soon")
    assert "'later'" in ended.stderr


def test_a_port_that_is_taken_or_a_host_that_is_not_here_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", port, "--database", "memory:", folder=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [f"chat: cannot listen on 127.0.0.1:{port}: Address already in use"]
    ended = run("--host", "192.0.2.1", "--database", "memory:", folder=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("chat: cannot listen on 192.0.2.1:8000: ")


def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database at all, but a text of some length" * 100)
    for database in ("sqlite:no/such/folder/chat.db", "sqlite:text.db"):
        ended = run("--database", database, folder=tmp_path)
        assert ended.returncode == 2, ended
        [line] = ended.stderr.splitlines()
        assert line.startswith(f"chat: --database (CHAT_DATABASE) is {database!r}: ")


def test_port_0_picks_one_and_the_log_says_which(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "chat.py"), "--port", "0", "--database", "memory:", "--log", "console"]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = next(line for line in process.stderr if "listening" in line)
        address = next(word for word in line.split() if "http://" in word).split("=")[-1]
        assert request(address, "GET", "/healthz").status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_an_ipv6_address_can_be_listened_on(tmp_path: Path) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    with running(tmp_path, "--host", "::1", database="memory:") as server:
        [line] = [line for line in server.lines() if line["event"] == "listening"]
        assert line["address"] == f"http://[::1]:{server.port}"
        assert request(line["address"], "GET", "/healthz").status == 200


# ---- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: int) -> None:
    with running(tmp_path, database="memory:") as server:
        register(server.address, "ann")
        server.signal(number)
        assert server.process.wait(10) == 0
        events = [line["event"] for line in server.lines()]
        assert events[-1] == "stopped"
        assert "draining" in events
        with pytest.raises(ConnectionRefusedError):
            request(server.address, "GET", "/healthz")


@contextmanager
def half_a_request(server: Server) -> Iterator[socket.socket]:
    """One that keeps the server waiting for the rest of its body."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        head = b"POST /api/log_out HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        connection.sendall(head)
        assert request(server.address, "GET", "/healthz").status == 200  # by now it was read
        yield connection


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, database="memory:") as server, half_a_request(server):
        server.signal(signal.SIGTERM)
        wait_for(lambda: any(line["event"] == "draining" for line in server.lines()), "the drain to begin")
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) != 0
        assert time.monotonic() - start < 1


def test_nobody_can_hold_up_the_end_for_more_than_ten_seconds(tmp_path: Path) -> None:
    with running(tmp_path, database="memory:") as server, half_a_request(server):
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 10
        assert "Traceback" not in server.log.read_text()


async def test_while_it_drains_it_takes_nobody_in(tmp_path: Path) -> None:
    """A connection that was there before may still ask whether this node is ready."""
    with running(tmp_path, database="memory:") as server:
        ann = register(server.address, "ann")
        with half_a_request(server), socket.create_connection(("127.0.0.1", server.port), 10) as kept:
            kept.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in kept.recv(65_536).splitlines()[0]
            url = server.address.replace("http", "ws", 1) + "/ws"
            server.signal(signal.SIGTERM)
            wait_for(lambda: any(line["event"] == "draining" for line in server.lines()), "the drain to begin")
            with pytest.raises((OSError, ConnectionClosed)):
                await connect(url, additional_headers={"Authorization": f"Bearer {ann.token}"})
            server.signal(signal.SIGTERM)


# ---- starting again


async def test_after_a_restart_everything_is_as_it_was(tmp_path: Path) -> None:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        ann, bob = register(server.address, "ann"), register(server.address, "bob")
        room = ann.do("create_room", title="Kept", kind="private", members=[bob.id])["room"]
        first = ann.do("send_message", key="kept", room=room, text="hello @bob")
        invite = ann.do("create_invite", key="invite")
        async with Talk(bob) as talk:
            epoch = (await talk.until(type="hello"))["epoch"]
        before = asked_of(bob, room)
        assert server.stop() == 0
        server.start()
        assert asked_of(bob, room) == before

        assert ann.do("send_message", key="kept", room=room, text="something else") == first
        async with Talk(ann) as talk:
            again = await talk.ask("send_message", "kept", room=room, text="again")
            assert again == {"type": "ack", "id": "kept", **first}
        assert ann.do("create_invite", key="invite") == {"invite": invite["invite"]}
        register(server.address, "cat", invite["token"])
        assert ann.do("send_message", room=room, text="next")["seq"] == first["seq"] + 1
        async with Talk(bob) as talk:
            assert (await talk.until(type="hello"))["epoch"] == epoch
            await talk.say("resume", epoch=epoch, rooms={room: 2})
            assert (await talk.until(type="caught_up"))["seq"] == 5
            assert talk.events(room) == [3, 4, 5]

        server.kill()
        server.start()
        assert ann.ask("list_messages", room=room)["messages"][-1]["text"] == "next"
        assert Account(server.address).post("log_in", name="ann", password=PASSWORD).status == 200
        assert request(server.address, "GET", "/readyz").status == 200
        assert server.stop() == 0


def asked_of(account: Account, room: str) -> list[Any]:
    """The answers to what a client asks."""
    here = {"room": room}
    plain = [account.ask(query) for query in ("me", "list_rooms", "list_sessions", "list_accounts")]
    found = account.ask("search_messages", text="hello")
    return [*plain, account.ask("room", **here), account.ask("list_messages", **here), found]


async def test_many_of_one_id_at_once_make_one_event_on_disk_too(tmp_path: Path) -> None:
    with running(tmp_path, "--rate", "0") as server:
        ann = register(server.address, "ann")
        room = ann.do("create_room", title="Once", kind="private")["room"]
        posts = (asyncio.to_thread(ann.do, "send_message", "once", room=room, text=f"{number}") for number in range(40))
        answers = await asyncio.gather(*posts)
        assert {json.dumps(answer) for answer in answers} == {json.dumps({"room": room, "seq": 3})}
        assert len(ann.ask("list_messages", room=room)["messages"]) == 1


# ---- the log


async def test_the_log_holds_no_secret_and_no_word_of_anybody(tmp_path: Path) -> None:
    canary = "canary in the coal mine"
    with running(tmp_path, "--registration", "open") as server:
        ann = register(server.address, "ann")
        eve = register(server.address, "eve")
        room = ann.do("create_room", title=canary, kind="private", members=[eve.id])["room"]
        secrets = [ann.token, ann.token.partition(".")[2], eve.token, PASSWORD, canary]
        ann.do("send_message", room=room, text=canary)
        ann.post("send_message", room=room, text=canary * 1_000)
        ann.get("search_messages", text=canary, limit="many")
        ann.get(f"me?token={ann.token}")
        secrets += [ann.do("create_bot", name="robot")["token"], ann.do("create_invite")["token"]]
        secrets.append(ann.do("reset_password", account=eve.id)["password"])
        Account(server.address).post("log_in", name="ann", password=f"{PASSWORD} wrong")
        async with Talk(ann) as talk:
            await talk.ask("send_message", room=room, text=canary)
            await talk.websocket.send(f'{{"type":"{canary}"')
            await talk.until(type="refused")
        url = server.address.replace("http", "ws", 1) + f"/ws?token={ann.token}"
        async with connect(url) as nobody:
            with pytest.raises(ConnectionClosed):
                await nobody.recv()
        server.stop()
        log = server.log.read_text()
    assert [line for line in log.splitlines() if not line.startswith("{")] == []
    assert [secret for secret in secrets if secret in log] == []
    assert "token" not in log
