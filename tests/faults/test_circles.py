"""Nothing of the chat's own waits for a collection when it is over, which the server makes rare: neither what went well
nor what was refused. A refusal's traceback holds the frames that it came through, and must not be held by one.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client import Account, Talk, register
from tests.faults.visits import reset_at_close
from tests.running import Server, altered, wait_for

TIMES: Final = 5
PASSWORD: Final = "correct horse"
HANDSHAKE: Final = (
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: {version}\r\n{key}\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("circles")
    server = Server(folder, "--registration", "open", "--rate", "0", database="memory:")
    server.script = altered(folder, "from tests.faults.circled import watch", "watch()")
    server.environment = {"CIRCLED": str(folder / "circled.json")}
    server.start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def ann(server: Server) -> Account:
    ann = register(server.address, "ann")
    ann.do("create_room", title="Room", kind="public")
    circled(server)
    return ann


def circled(server: Server) -> dict[str, int]:
    """What would have to be collected by now."""
    file = Path(server.environment["CIRCLED"])
    file.unlink(missing_ok=True)
    server.signal(signal.SIGUSR1)
    wait_for(file.exists, "a look at what is circled")
    found: dict[str, int] = json.loads(file.read_text())
    return found


def room_of(ann: Account) -> str:
    room: str = ann.ask("list_rooms")["rooms"][0]["id"]
    return room


def connected(ann: Account) -> socket.socket:
    host, port = ann.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 10)


async def send(ann: Account) -> None:
    ann.do("send_message", room=room_of(ann), text="hello")


async def send_elsewhere(ann: Account) -> None:
    assert ann.post("send_message", room="nowhere", text="hello").status == 404


async def talk(ann: Account) -> None:
    async with Talk(ann) as talk:
        await talk.ask("send_message", room=room_of(ann), text="hello")


async def talk_elsewhere(ann: Account) -> None:
    async with Talk(ann) as talk:
        told = await talk.ask("send_message", room="nowhere", text="hello")
        assert told["code"] == "not_found"


async def ask_in_vain(ann: Account) -> None:
    assert ann.get("list_messages", room="nowhere").status == 404
    async with Talk(ann) as talk:
        assert (await talk.ask("list_messages", room="nowhere"))["code"] == "not_found"


async def mistake_the_password(ann: Account) -> None:
    assert ann.post("change_password", old="wrong horse", new=PASSWORD).status == 401
    async with Talk(ann) as talk:
        told = await talk.ask("change_password", old="wrong horse", new=PASSWORD)
        assert told["code"] == "wrong_credentials"


async def want_a_name_that_is_taken(ann: Account) -> None:
    stranger = Account(ann.address)
    assert stranger.post("register", name="ann", password=PASSWORD).status == 409
    assert stranger.post("register", name="no name", password=PASSWORD).status == 400


async def log_in_as_nobody(ann: Account) -> None:
    assert Account(ann.address).post("log_in", name="nobody", password=PASSWORD).status == 401


async def shake_hands_badly(ann: Account) -> None:
    for version, key in ((8, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), (13, "")):
        with connected(ann) as peer:
            peer.sendall(HANDSHAKE.format(version=version, key=key).encode())
            while peer.recv(4_096):
                pass


async def open_the_page_and_leave(ann: Account) -> None:
    """At any moment of the answer."""
    for number in range(100):
        with connected(ann) as peer:
            reset_at_close(peer)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(number / 50_000)


DEEDS: Final[tuple[Callable[[Account], Awaitable[None]], ...]] = (
    send,
    send_elsewhere,
    talk,
    talk_elsewhere,
    ask_in_vain,
    mistake_the_password,
    want_a_name_that_is_taken,
    log_in_as_nobody,
    shake_hands_badly,
    open_the_page_and_leave,
)


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_nothing_waits_for_a_collection(deed: Any, server: Server, ann: Account) -> None:
    await deed(ann)
    circled(server)  # what is made once
    for _ in range(TIMES):
        await deed(ann)
    assert circled(server) == {}
