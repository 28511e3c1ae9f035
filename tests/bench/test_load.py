"""The loads find what they are meant to find, on the floor and on this chat, and peers that are missing are named."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.bench import others
from tests.bench.contestants import CONTESTANTS
from tests.bench.figures import Measured
from tests.bench.ground import Ground, Pace, Seed
from tests.bench.load import Failed, NoCompiler, compile_load
from tests.bench.machine import CORES, LOAD_CORE, SERVER_CORE, Missing, children, family, need, on_core, resident
from tests.bench.rounds import turn
from tests.bench.talking import Room, talk
from tests.bench.workloads import WORKLOADS

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
    theirs = [{SERVER_CORE}, {LOAD_CORE}] if {SERVER_CORE, LOAD_CORE} <= CORES else [CORES, CORES]
    assert [cores.pop(running.processes[0]), *cores.values()] == theirs
