"""The loads find what they are meant to find, on the floor and on this chat, and peers that are missing are named."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.bench import others, project
from tests.bench.asker import asker_of
from tests.bench.contestants import CONTESTANTS
from tests.bench.figures import Measured
from tests.bench.ground import Ground, Pace, Seed, copy_of
from tests.bench.kept import check_kept
from tests.bench.load import Failed, NoCompiler, compile_load, compile_program
from tests.bench.machine import (
    APART,
    CORES,
    LOAD_CORE,
    SERVER_CORE,
    Missing,
    at_the_server,
    children,
    family,
    need,
    on_core,
    resident,
)
from tests.bench.rounds import turn
from tests.bench.talking import Room, talk
from tests.bench.workloads import WORKLOADS
from tests.running import altered

pytestmark = pytest.mark.requires("cc")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    with Ground(folder, folder / "cache", Pace(seconds=0.2, warm=0, share=100)) as ground:
        yield ground


NODES = pytest.param("f", "two-nodes", marks=pytest.mark.requires("postgresql", "rabbitmq"))


@pytest.mark.parametrize(("workload", "row"), [("a", "floor"), ("d", "memory"), ("g", "send"), ("g", "page"), NODES])
def test_a_workload_in_small(workload: str, row: str, ground: Ground) -> None:
    """Each checks that nothing was lost, doubled or out of order."""
    wanted = WORKLOADS[workload].figures
    figures = WORKLOADS[workload].entries[row].work(ground)
    assert figures.keys() >= set(wanted)
    assert figures[wanted[0]] > 0


def test_the_floor_takes_any_key_and_mask_and_keeps_what_a_slow_reader_does_not_take(ground: Ground) -> None:
    said = [f"{number} {'ä' * 4_000}" for number in range(1_200)]

    async def talk_and_listen(port: int) -> list[str]:
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(url) as speaker, connect(url, max_queue=1, sock=narrow(port)) as slow:
            for text in said:
                await speaker.send(json.dumps({"type": "send", "text": text}, ensure_ascii=False))
                kinds = {json.loads(await speaker.recv())["type"] for _ in range(2)}
                assert kinds == {"ack", "message"}
            return [json.loads(await asyncio.wait_for(slow.recv(), 10))["text"] for _ in said]

    with CONTESTANTS["floor"].running(ground, Seed(accounts=1)) as running:
        assert asyncio.run(talk_and_listen(running.ports[0])) == said


def narrow(port: int) -> socket.socket:
    """The system keeps little for it: the server has to."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.connect(("127.0.0.1", port))
    return narrow


def test_a_load_that_gives_up_says_why(ground: Ground) -> None:
    with CONTESTANTS["floor"].running(ground, Seed(accounts=1)) as running:
        load = ground.load(("talk", "dialect"), running, "none", 1, 1, 1, 0, 1)
        with pytest.raises(Failed, match="dialect"):
            load.run(1)


def test_a_load_that_dies_while_it_is_held_says_why(ground: Ground) -> None:
    with CONTESTANTS["floor"].running(ground, Seed(accounts=1)) as running:
        load = ground.load(("talk", "dialect"), running, "none", 1, 1, 1, 0, 0)
        with pytest.raises(Failed, match="dialect"), load.held():
            pytest.fail("nothing is connected")


def test_who_is_sent_away_while_held_is_noticed(ground: Ground) -> None:
    with CONTESTANTS["memory"].running(ground, Seed(accounts=2)) as running, closing(asker_of(running)) as asker:
        load = ground.load(("talk", "chat"), running, "none", 2, 0, 1, 0, 0)
        with pytest.raises(AssertionError, match="'closed': 1"), load.held():
            asker.do("log_out")


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_message_that_is_not_kept_is_missed(ground: Ground, store: str) -> None:
    with CONTESTANTS[store].running(ground, Seed(accounts=3, rooms=2)) as running, closing(asker_of(running)) as asker:
        for room in (0, 1):
            asker.do("send_message", room=asker.room(room), text="kept")
        check_kept(running, rooms=2, messages=2)
        with pytest.raises(AssertionError, match="there are 2 messages, and 3"):
            check_kept(running, rooms=2, messages=3)


def test_a_log_that_lost_a_row_is_wrong(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(seeded: Path, folder: Path) -> Path:
        with closing(sqlite3.connect(database := copy_of(seeded, folder))) as log:
            log.execute("DELETE FROM log WHERE position = (SELECT max(position) - 1 FROM log)")
            log.commit()
        return database

    monkeypatch.setattr(project, "copy_of", lossy)
    with (
        pytest.raises(AssertionError, match="rows lost from the log: 1"),
        CONTESTANTS["sqlite"].running(ground, Seed(accounts=2)),
    ):
        pass


def test_a_text_that_is_heard_otherwise_than_it_was_sent_is_wrong(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twisting(folder: Path, *lines: str) -> Path:
        turned = "messages.MessageSent = lambda text, **rest: sent(text=text[::-1], **rest)"
        return altered(folder, *lines, "from chat.logic import messages", "sent = messages.MessageSent", turned)

    monkeypatch.setattr(project, "altered", twisting)
    with pytest.raises(AssertionError, match="'wrong'"):
        WORKLOADS["a"].entries["memory"].work(ground)


def test_a_program_that_cannot_be_compiled_says_why(tmp_path: Path) -> None:
    (tmp_path / "load.c").write_text("int main(void) { return nothing; }")
    with pytest.raises(Failed, match=r"load\.c cannot be compiled: [^$]*nothing"):
        compile_program(tmp_path / "load.c", tmp_path)


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompiler, match="apt-get install gcc"):
        compile_load(tmp_path)


def test_a_peer_whose_tools_are_missing_is_named(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = turn(lambda ground: talk(CONTESTANTS["socketio"], Room(2, 1), ground), ground, Measured())
    assert found == Measured(missing="there is no node and no npm")
    with pytest.raises(Missing, match="there is no such-a-tool"):
        need("such-a-tool")


def test_a_peer_that_cannot_be_installed_is_missing(ground: Ground) -> None:
    with pytest.raises(Missing, match=r"(?s)python.* failed: .*No module named no_such_module"):
        others.install(ground.cache, sys.executable, "-m", "no_such_module")


def test_memory_is_that_of_a_process_and_of_all_that_it_started() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= {*family(os.getpid())}
        assert resident(family(os.getpid())) > resident((os.getpid(),)) > 10_000_000
    assert resident((child.pid,)) == 0


def test_the_load_has_a_core_to_itself_where_there_are_two_whatever_it_is_started_from(ground: Ground) -> None:
    others = children(os.getpid())
    with (
        on_core(SERVER_CORE),
        CONTESTANTS["floor"].running(ground, Seed(accounts=1)) as running,
        ground.load(("talk", "plain"), running, "none", 1, 0, 1, 0, 0).held(),
    ):
        cores = {child: os.sched_getaffinity(child) for child in children(os.getpid()) if child not in others}
    theirs = [{SERVER_CORE}, {LOAD_CORE}] if APART else [{*CORES}, {*CORES}]
    assert [cores.pop(running.processes[0]), *cores.values()] == theirs


def test_who_measures_is_not_at_the_servers_core(ground: Ground) -> None:
    with on_core(LOAD_CORE), CONTESTANTS["memory"].running(ground, Seed(accounts=1)) as running:
        ours, theirs = (os.sched_getaffinity(process) for process in (0, running.processes[0]))
    assert (ours, theirs) == (({LOAD_CORE}, {SERVER_CORE}) if APART else ({*CORES}, {*CORES}))


def test_what_is_started_at_the_server_stays_there_and_nobody_else() -> None:
    @contextmanager
    def started() -> Iterator[int]:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
            yield child.pid

    usual = os.sched_getaffinity(0)
    with at_the_server(started()) as child:
        assert os.sched_getaffinity(0) == usual
        assert os.sched_getaffinity(child) == ({SERVER_CORE} if APART else usual)
