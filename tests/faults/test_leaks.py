"""Whatever breaks, no log tells what somebody sent; and a log that does tell it is found out."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests import canaries
from tests.client import PASSWORD, Account, Response, Talk, register, request
from tests.running import ROOT, Server, wait_for

BREAKING: Final = ROOT / "tests" / "faults" / "breaking.py"


def kept(log: Path, *lines: str) -> list[str]:
    """What is found in a log that has these lines more."""
    canaries.watch(log)
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return canaries.leaks()


def in_full(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("shown", [str, repr, json.dumps, in_full, lambda text: json.dumps(repr(text))])
@pytest.mark.parametrize("field", sorted(canaries.SECRET))
def test_a_secret_in_a_log_is_found_once(tmp_path: Path, shown: Callable[[str], str], field: str) -> None:
    secret = f'"Größe"\n "{field} of {tmp_path.parent.name} {tmp_path.name}"\t'
    canaries.keep_fields({field: secret, "title": "known to everybody"})
    log = tmp_path / "server.log"
    assert kept(log, "known to everybody", "nothing else") == []
    [found] = kept(log, "nothing before", f"it is {shown(secret)} here", "nothing behind")
    assert f"{field} of" in found
    assert str(log) in found
    assert kept(log, "nothing more") == []


def test_the_set_up_link_is_in_the_log_because_somebody_has_to_read_it(tmp_path: Path) -> None:
    canaries.keep("a-set-up-secret")
    link = '{"open": "http://127.0.0.1/#invite/a-set-up-secret", "event": "set up the first account"}'
    assert kept(tmp_path / "server.log", link) == []
    assert len(kept(tmp_path / "server.log", "used: a-set-up-secret")) == 1


class Broken(NamedTuple):
    """A server on which everything that can be asked for breaks, and its owner in a room."""

    server: Server
    ann: Account
    room: str

    def log(self) -> str:
        return self.server.log.read_text()

    def send(self, text: str) -> Response:
        return self.ann.post("send_message", room=self.room, text=text)

    def code(self, command: str, **fields: Any) -> str:
        return str(self.ann.post(command, **fields).json["code"])


@contextmanager
def breaking(folder: Path, *flags: str, **environment: str) -> Iterator[Broken]:
    server = Server(folder, "--registration", "open", "--rate", "0", *flags)
    server.script = BREAKING
    server.environment.update(environment)
    with started(server):
        ann = register(server.address, "ann")
        yield Broken(server, ann, ann.do("create_room", title="Tea", kind="public")["room"])


@contextmanager
def started(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        if server.process.poll() is None:
            server.kill()


async def break_everything(broken: Broken) -> None:
    ann, room = broken.ann, broken.room
    message = broken.send("a text on which the store breaks").json["seq"]
    assert broken.code("send_message", room=room, text="a text on which the rule breaks") == "internal"
    assert broken.code("edit_message", room=room, message=message, text="a text that cannot be taken in") == "internal"
    assert broken.code("delete_message", room=room, message=message) == "internal"
    canaries.keep("words that are searched for", "sixteen bytes and more", "known to the page alone")
    assert ann.get("search_messages", text="words that are searched for").json["code"] == "internal"
    assert Account(ann.address).post("log_in", name="ann", password=PASSWORD).status == 500
    async with Talk(ann) as talk:
        await talk.until(type="hello")
        assert (await talk.ask("search_messages", text="words that are searched for"))["code"] == "internal"
        with pytest.raises(ConnectionClosed):  # it breaks where the bytes come in
            await talk.ask("send_message", room=room, text="a text on which the frame breaks")
    assert request(ann.address, "GET", "/broken?known+to+the+page+alone", None, {}).status == 500
    assert request(ann.address, "GET", "/?known%20to%20the%20page%20alone", None, {}).status == 200
    for text in ("not JSON: sixteen bytes and more", '{"name": "sixteen bytes and more", "password": 16}'):
        headers = {"Content-Type": "application/json"}
        assert request(ann.address, "POST", "/api/log_in", text.encode(), headers).status == 400


TOLD: Final = (
    "a rule broke",
    "a turn broke",
    "a request broke",
    "an answer broke",
    "a command breaks its turn",
    "Fatal error",
    "Exception in ASGI application",
)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_nothing_that_breaks_tells_what_it_broke_on(tmp_path: Path, form: str) -> None:
    with breaking(tmp_path, "--log", form) as broken:
        await break_everything(broken)
        wait_for(lambda: "Task exception was never retrieved" in broken.log(), "the task to be collected")
    log = broken.log()
    assert [words for words in TOLD if words not in log] == []
    for kind in ("KeyError", "ValueError", "LookupError"):
        assert kind in log
    assert canaries.leaks() == []


async def test_a_server_that_logs_a_text_is_found_out(tmp_path: Path) -> None:
    with breaking(tmp_path, LEAKS="yes") as broken:
        assert broken.send("a text that this one logs").status == 200
    [found] = canaries.leaks()
    assert "a text that this one logs" in found


TOKENS: Final = ("token", "session", "access_token", "authorization", "Authorization", "bearer")


async def test_a_token_in_an_address_is_neither_taken_nor_logged(tmp_path: Path) -> None:
    server = Server(tmp_path, "--registration", "open", "--rate", "0", database="memory:")
    with started(server):
        ann = register(server.address, "ann")
        room = ann.do("create_room", title="Tea", kind="public")["room"]
        body = json.dumps({"room": room, "text": "by nobody"}).encode()
        for name in TOKENS:
            inside = f"?{name}={ann.token}"
            assert request(server.address, "GET", f"/api/me{inside}").status == 401
            assert request(server.address, "GET", f"/api/nothing{inside}").status == 404
            assert request(server.address, "GET", f"/healthz{inside}").status == 200
            headers = {"Content-Type": "application/json"}
            assert request(server.address, "POST", f"/api/send_message{inside}", body, headers).status == 401
            url = server.address.replace("http", "ws", 1) + f"/ws{inside}"
            async with connect(url) as websocket:
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(websocket.recv(), 10)
                assert websocket.close_code == 4401
            with pytest.raises(InvalidStatus):
                await connect(f"{url}&x", additional_headers={"Origin": "http://evil.example"})
        assert ann.ask("list_messages", room=room)["messages"] == []
        assert server.stop() == 0
    assert canaries.leaks() == []
    assert "?" not in server.log.read_text()
