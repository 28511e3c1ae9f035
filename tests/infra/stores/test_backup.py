"""A copy is of one moment, opens by itself, and is there as a whole or not at all."""

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Unavailable, Unusable
from chat.infra.stores import sqlite_copy
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.files import content, fill, modes, opened
from tests.infra.stores.given import everything, say


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.db"


def nothing(done: int, total: int) -> None:
    """Nobody looks on."""


async def back_up(store: SqliteStore, target: Path) -> None:
    await store.backup(str(target), nothing)


async def test_a_copy_has_everything_is_one_file_and_its_owner_s_alone(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello", "again")
        before = await everything(store)
        await back_up(store, target)
        assert modes(target.parent) == {"copy.db": 0o600}
    async with opened(target) as copied:
        assert await everything(copied) == before
        await say(copied, "on its own")


async def test_a_copy_is_of_the_moment_at_which_it_began(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, with a turn after each of them: it does not begin anew, and does not end in another state."""
    monkeypatch.setattr(sqlite_copy, "STEP", 1)
    steps: list[int] = []
    async with opened(path) as store, opened(path, read_only=True) as reader:
        await say(store, *["hello"] * 100)
        before = await everything(store)
        loop = asyncio.get_running_loop()

        def meanwhile(done: int, total: int) -> None:
            steps.append(done)
            asyncio.run_coroutine_threadsafe(say(store, "meanwhile"), loop).result(5)

        await reader.backup(str(target), meanwhile)
        assert (await store.read_info()).head == 100 + len(steps)
    assert len(steps) > 10
    assert steps == sorted(set(steps))
    async with opened(target) as copied:
        assert await everything(copied) == before


async def test_an_earlier_copy_is_replaced(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await back_up(store, target)
        os.chmod(target, 0o644)
        await say(store, "hello")
        await back_up(store, target)
    assert modes(target.parent) == {"copy.db": 0o600}
    async with opened(target, read_only=True) as copied:
        assert (await copied.read_info()).head == 1


async def test_what_a_killed_process_left_of_a_copy_is_replaced(path: Path, target: Path) -> None:
    part = Path(f"{target}.part")
    async with opened(path) as store:
        await say(store, "hello")
        await back_up(store, target)
        for left in (b"", bytes(8_192), content(target)[:100]):
            fill(part, left)
            await back_up(store, target)
            assert modes(target.parent).keys() == {"copy.db"}


async def refused(store: SqliteStore, target: Path) -> str:
    before = modes(target.parent) if target.parent.is_dir() else {}
    with pytest.raises(Unusable) as error:
        await back_up(store, target)
    assert before == (modes(target.parent) if target.parent.is_dir() else {})
    return str(error.value)


async def test_the_database_itself_is_no_place_for_its_copy(path: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
        for name in ("chat.db", "chat.db-wal", "chat.db-shm", "chat.db-lock", "chat.db-journal"):
            assert "is the database itself, or belongs to it" in await refused(store, path.parent / name)
        for link in (os.symlink, os.link):
            link(path, linked := path.with_name("linked.db"))
            assert "is the database itself, or belongs to it" in await refused(store, linked)
            os.unlink(linked)
        assert "belongs to it" in await refused(store, path.parent / "." / ".." / path.parent.name / "chat.db")
        assert await everything(store) == before
    os.rename(path, path.with_name("x.part"))
    async with opened(path.parent / "x.part") as store:
        assert "belongs to it" in await refused(store, path.parent / "x")


async def test_what_is_there_and_no_copy_is_left_alone(path: Path, target: Path) -> None:
    async with opened(path) as store:
        for diary in (b"", b"Dear diary", b"Dear diary, " * 1_000):
            fill(target, diary)
            assert "no copy of a chat database" in await refused(store, target)
            assert content(target) == diary
        os.unlink(target)
        os.mkdir(target)
        assert "no copy of a chat database" in await refused(store, target)
        os.rmdir(target)
        with closing(sqlite3.connect(target)) as songs:
            songs.execute("CREATE TABLE songs (title TEXT)")
        assert "no copy of a chat database" in await refused(store, target)
        os.unlink(target)
        part = Path(f"{target}.part")
        fill(part, b"Dear diary")
        assert "is in the way" in await refused(store, target)
        os.unlink(part)
        os.symlink(path, part)
        assert "belongs to it" in await refused(store, target)


async def test_what_is_in_use_is_no_place_for_a_copy(path: Path, target: Path) -> None:
    async with opened(path) as store:
        async with opened(target) as other:
            assert "in use" in await refused(store, target)
            await say(other, "hello")
            assert "in use" in await refused(store, target)
            for end in ("", "-wal"):
                shutil.copy(f"{target}{end}", f"{target}.killed{end}")
        assert "in use" in await refused(store, Path(f"{target}.killed"))
        await back_up(store, target)


async def test_a_folder_that_is_not_there_is_named(path: Path, tmp_path: Path) -> None:
    async with opened(path) as store:
        folder = tmp_path / "none"
        assert f"The directory {folder} does not exist" in await refused(store, folder / "copy.db")
        assert "File name too long" in await refused(store, tmp_path / ("x" * 300))


async def test_two_copies_to_one_place_do_not_meet(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        part = Path(f"{target}.part")
        fill(part, b"")
        other = os.open(part, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "is under way" in await refused(store, target)
        os.close(other)
        await back_up(store, target)


@pytest.mark.parametrize("fails", ["os.fsync", "pathlib.Path.replace"])
async def test_a_copy_that_fails_leaves_nothing(
    path: Path, target: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with opened(path) as store:
        await say(store, "hello")
        monkeypatch.setattr(fails, full)
        with pytest.raises(Unavailable, match="the disk is full; make room"):
            await back_up(store, target)
        monkeypatch.undo()
        assert modes(target.parent) == {}
        await back_up(store, target)


async def test_a_copy_that_is_broken_off_leaves_nothing(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "STEP", 1)
    begun, go_on = threading.Event(), threading.Event()

    def slow(done: int, total: int) -> None:
        begun.set()
        assert go_on.wait(5)

    async with opened(path) as store:
        await say(store, *["hello"] * 100)
        task = asyncio.create_task(store.backup(str(target), slow))
        await asyncio.to_thread(begun.wait, 5)
        assert modes(target.parent).keys() == {"copy.db.part"}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
    assert modes(target.parent) == {}


async def test_memory_cannot_be_copied(target: Path) -> None:
    with pytest.raises(Unusable, match="only in memory"):
        await MemoryStore().backup(str(target), nothing)
    assert modes(target.parent) == {}
