"""A backup is taken under load, and the recipe of the README brings it back: all that was acknowledged before it is
there, nothing else has changed, and everybody is told that this is another history.
"""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.client import Talk
from tests.faults.checker import History, Stored, Verdict, demand, histories_in, read_log
from tests.faults.disks import chat, small_disk
from tests.faults.load import Client, Running, crowd, demand_all, milliseconds, read_pages, settle, until
from tests.running import ROOT, running, wait_for

FLAGS = ("--registration", "open", "--rate", "0")


async def test_a_backup_taken_under_load_can_be_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "chat.db"
    with running(tmp_path, *FLAGS) as server:
        clients = await asyncio.to_thread(lambda: crowd(server.address, people=8, rooms=3, seed=1))
        async with Running(clients):
            await until(lambda: acknowledged(clients) > 200, "the talk to be under way")
            promised = [promises(client) for client in clients]
            seconds = await asyncio.to_thread(back_up, tmp_path)
            latencies = [latency for client in clients for latency in client.latencies]
            talked = acknowledged(clients)
            await until(lambda: acknowledged(clients) > talked + 200, "the talk to go on")
            verdict = await demand_all(clients, file, histories_in(tmp_path))
        async with Talk(clients[0].account) as talk:
            epoch = (await talk.next())["epoch"]
        assert server.stop() == 0
        log = read_log(file)
        await asyncio.to_thread(restore, tmp_path)
        await asyncio.to_thread(server.start)

        restored = read_log(file)
        assert_prefix(restored, log)
        await everybody_is_reset(clients, epoch, clients[0].last, restored)
        again = [Client(client.account, 100 + number, tag="-again") for number, client in enumerate(clients)]
        async with Running(again):
            await until(lambda: acknowledged(again) > 100, "the talk to go on after the restore")
            await settle(again)
        after = await asyncio.to_thread(judge, [*promised, *(client.history for client in again)], again[0], tmp_path)
        checked = await asyncio.to_thread(chat, tmp_path, "verify")
        assert (checked.returncode, checked.stderr) == (0, "")
    with capsys.disabled():
        print(f"\nbacked up in {seconds:.2f} s, beside which it acknowledged within {milliseconds(latencies)}")
        print(f"{len(restored.positions)} of {len(log.positions)} events restored\n{verdict}\n{after}")


def acknowledged(clients: Sequence[Client]) -> int:
    return sum(len(client.history.acknowledged) for client in clients)


def promises(client: Client) -> History:
    """What it was promised so far. What it heard may be gone."""
    kept = History(client.history.name)
    kept.attempts = client.history.attempts  # those to come too: some are in the copy
    kept.acknowledged = dict(client.history.acknowledged)
    kept.refused = client.history.refused
    return kept


def back_up(folder: Path) -> float:
    began = time.monotonic()
    done = chat(folder, "backup", "copy.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in folder.glob("copy*")] == ["copy.db"]
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600
    return time.monotonic() - began


def restore(folder: Path) -> None:
    """As the README says, with the server stopped."""
    assert chat(folder, "verify", "--database", "sqlite:copy.db").returncode == 0
    for end in ("-wal", "-shm"):
        (folder / f"chat.db{end}").unlink(missing_ok=True)
    shutil.copy(folder / "copy.db", folder / "chat.db")
    assert chat(folder, "new-epoch").returncode == 0


def assert_prefix(restored: Stored, log: Stored) -> None:
    """Some of what came after the backup is missing, and nothing else."""
    assert restored.positions == log.positions[: len(restored.positions)] == list(range(1, len(restored.positions) + 1))
    assert len(restored.positions) < len(log.positions)
    for room, events in restored.log.items():
        assert events == log.log[room][: len(events)]


async def everybody_is_reset(clients: Sequence[Client], epoch: str, last: dict[str, int], restored: Stored) -> None:
    for client in clients:
        async with Talk(client.account) as talk:
            hello = await talk.next()
            assert hello["epoch"] != epoch
            await talk.say("resume", epoch=epoch, rooms=last)
            resets = [await talk.until(type="reset") for _ in last]
        assert {reset["room"]: (reset["seq"], reset["reason"]) for reset in resets} == {
            room: (restored.log[room][-1].seq, "epoch") for room in last
        }


def judge(histories: Sequence[History], client: Client, folder: Path) -> Verdict:
    log = read_log(folder / "chat.db")
    pages = read_pages(client.account, list(log.log))
    return demand(histories, Stored(log.log, pages, log.positions), histories_in(folder))


@pytest.mark.requires("mount")
def test_a_backup_for_which_there_is_no_room_leaves_nothing(tmp_path: Path) -> None:
    assert chat(tmp_path, "seed", "--accounts=2", "--rooms=1", "--messages=2000").returncode == 0
    with small_disk(tmp_path / "small", megabytes=1) as disk:
        done = chat(tmp_path, "backup", "small/copy.db", environment=disk.environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("small/copy.db cannot be written to: the disk is full; make room.\n")
        assert done.stderr.count("\n") == 1
        assert list(disk.folder.iterdir()) == []


def test_a_backup_that_is_interrupted_leaves_nothing_or_all(tmp_path: Path) -> None:
    """At any moment of it, from its first step to its last."""
    assert chat(tmp_path, "seed", "--accounts=2", "--rooms=1", "--messages=8000").returncode == 0
    for moment in (0.0, 0.005, 0.01, 0.02, 0.03):
        command = [sys.executable, str(ROOT / "chat.py"), "backup", "copy.db"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=PIPE, stderr=PIPE) as process:
            wait_for(lambda: any(tmp_path.glob("copy*")) or process.poll() is not None, "the first byte")
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        left = [path.name for path in tmp_path.glob("copy*")]
        assert (process.returncode, left) in (
            (0, ["copy.db"]),
            (-signal.SIGINT, ["copy.db"]),  # it came when all was done
            (130, ["copy.db"]),
            (130, []),
        )
        assert b"Traceback" not in told
        if left:
            assert len((tmp_path / "copy.db").read_bytes()) == len((tmp_path / "chat.db").read_bytes())
            (tmp_path / "copy.db").unlink()
