"""The process dies at every step of a send, from the writer's lock to the bytes that go out: what was acknowledged is
in the log, and whoever asks again makes it happen once."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.client import Account, register
from tests.faults.checker import histories_in, kept_when_it_fails, read_log
from tests.faults.dying import STATUS, TELLING
from tests.faults.failing import STEPS
from tests.faults.load import Running, crowd, demand_all, until
from tests.running import ROOT, Server, running, wait_for

DYING: Final = Path(__file__).parent / "dying.py"
SENDING: Final = [step for step in (*STEPS, *TELLING) if step.endswith(("begin", "commit", "tell", "flush"))]
NUMBERS: Final = (1, 15)  # of the time that a step is reached: at once, and under load


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--registration", "open", "--rate", "0") as server:
        yield server


def start_to_die(server: Server, death: str) -> None:
    server.script, server.environment = DYING, {"DIES": death}
    server.start()


def start_to_live(server: Server) -> None:
    server.script, server.environment = ROOT / "chat.py", {}
    server.start()


async def test_a_process_that_dies_at_a_step_breaks_no_promise(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = crowd(server.address, people=4, rooms=2, seed=5, pause=0.01)
    histories, folder = [client.history for client in clients], histories_in(tmp_path)
    deaths = [f"{step} {number}" for step in SENDING for number in NUMBERS]
    server.kill()
    with kept_when_it_fails(histories, tmp_path / "chat.db", folder):
        async with Running(clients):
            for death in deaths:
                await asyncio.to_thread(start_to_die, server, death)
                await until(lambda: server.process.poll() is not None, f"the server to die {death}")
                assert server.process.returncode == STATUS
            await asyncio.to_thread(start_to_live, server)
            verdict = await demand_all(clients, tmp_path / "chat.db", folder)
    with capsys.disabled():
        print(f"\n{len(deaths)} deaths at {len(SENDING)} steps; {verdict}")
    assert not [client.resets for client in clients if client.resets]
    assert verdict.acknowledged > 2 * len(deaths)


def test_what_reads_more_of_the_store_is_done_once_whatever_step_the_process_dies_at(
    server: Server, tmp_path: Path
) -> None:
    """A mention looks up states while it is decided, a deletion the events that it erases."""
    ann, bob = (register(server.address, name) for name in ("ann", "bob"))
    room = ann.do("create_room", title="Room", kind="private", members=[bob.id])["room"]
    steps = [*STEPS, "before tell", "after tell"]
    doomed = [ann.do("send_message", room=room, text=f"regretted {step}")["seq"] for step in steps]
    server.kill()
    for step, message in zip(steps, doomed, strict=True):
        start_to_die(server, f"{step} 1")
        if not step.endswith("read_about"):
            ask_the_dying(ann, "send_message", f"mention {step}", room=room, text=f"@bob {step}")
        if server.process.poll() is None:
            ask_the_dying(ann, "delete_message", f"delete {step}", room=room, message=message)
        wait_for(lambda: server.process.poll() is not None, f"the server to die {step}")
        assert server.process.returncode == STATUS
    start_to_live(server)
    for _ in range(2):
        mentions = [ann.do("send_message", f"mention {step}", room=room, text=f"@bob {step}") for step in steps]
        deletions = [
            ann.do("delete_message", f"delete {step}", room=room, message=message)
            for step, message in zip(steps, doomed, strict=True)
        ]
    log = {seq: msgspec.json.decode(event) for seq, event in read_log(tmp_path / "chat.db").log[room]}
    deleted = {event["message"]: seq for seq, event in log.items() if event["type"] == "message_deleted"}
    assert deleted == {message: told["seq"] for message, told in zip(doomed, deletions, strict=True)}
    sent = {event["text"]: seq for seq, event in log.items() if event["type"] == "message_sent" and event["text"]}
    assert sent == {f"@bob {step}": told["seq"] for step, told in zip(steps, mentions, strict=True)}
    assert list(log) == list(range(1, len(log) + 1))
    assert len(log) == 3 + 3 * len(steps)  # made, two members; sent, mentioned, deleted
    assert bob.ask("list_rooms")["rooms"][0]["mentions"] == len(steps)


def ask_the_dying(account: Account, command: str, key: str, **fields: object) -> None:
    """The answer may come before the end does."""
    with suppress(OSError, HTTPException):
        account.post(command, key, **fields)
