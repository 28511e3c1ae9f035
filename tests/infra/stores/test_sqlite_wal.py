"""The write-ahead log that a crash leaves: what is cut off is dropped, damage is not passed over, and what counts as
committed is on the disk.
"""

import io
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from chat.domain.errors import Unavailable, Unusable
from chat.infra.stores import sqlite_wal
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.files import IN_USE, PAGE, fill, in_use, opened, refusal, spoil
from tests.infra.stores.given import say

ROOT = Path(__file__).resolve().parents[3]
FRAME = 24 + PAGE
TURNS = 20

IS_KILLED = f"""
import asyncio, os, sys
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.given import say

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open("epoch", 1)
    for number in range({TURNS}):
        await say(store, f"number {{number}}")
    os._exit(0)

asyncio.run(main())
"""


IS_KILLED_AFTER = """
import os, sqlite3, sys
sqlite3.connect(sys.argv[1], isolation_level=None).executescript(sys.argv[2])
os._exit(0)  # who closes the file tidies up
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a process that was killed after some turns."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-c", IS_KILLED, folder / "chat.db"], cwd=ROOT, check=True)
    return folder / "chat.db"


@pytest.fixture
def left(killed: Path, path: Path) -> Path:
    take(killed, path)
    return path


def take(database: Path, path: Path) -> None:
    for end in ("", "-wal"):
        shutil.copy(f"{database}{end}", f"{path}{end}")
    Path(f"{path}-shm").unlink(missing_ok=True)


def wal(path: Path) -> Path:
    return Path(f"{path}-wal")


async def head(path: Path) -> int:
    async with opened(path) as store:
        return (await store.read_info()).head


async def test_what_was_committed_before_a_crash_is_there(left: Path) -> None:
    assert await head(left) == TURNS


async def test_a_log_that_is_cut_off_anywhere_has_what_is_whole(killed: Path, path: Path) -> None:
    heads = []
    for part in (0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999):
        take(killed, path)
        os.truncate(wal(path), int(wal(path).stat().st_size * part))
        heads.append(await head(path))
    assert heads == sorted(heads)
    assert 0 == heads[0] < heads[-2] < heads[-1] == TURNS - 1


@pytest.mark.parametrize("back", range(1, 4))
async def test_the_last_turn_may_be_torn(left: Path, back: int) -> None:
    """A power cut leaves some of its pages and not others."""
    spoil(wal(left), wal(left).stat().st_size - back * 1_000, 100)
    assert await head(left) == TURNS - 1


def places(last: int) -> list[int]:
    """Everywhere in the second half of the log but its last two turns."""
    return list(range(last // 2, last - 20 * FRAME, 7 * FRAME + 501))


async def test_damage_in_the_middle_is_refused_wherever_it_is(killed: Path, path: Path) -> None:
    size = wal(killed).stat().st_size
    tried = places(size)
    assert len(tried) > 3
    for at in tried:
        take(killed, path)
        spoil(wal(path), at, 600)
        before = wal(path).read_bytes()
        with pytest.raises(Unusable, match=r"chat\.db-wal is damaged"):
            await head(path)
        assert wal(path).read_bytes() == before


@pytest.mark.parametrize("at", [0, 8, 16, 24])
async def test_a_damaged_beginning_is_refused(left: Path, at: int) -> None:
    spoil(wal(left), at, 4)
    with pytest.raises(Unusable, match=r"chat\.db-wal is damaged"):
        await head(left)


async def test_a_beginning_that_says_what_cannot_be_is_refused(left: Path) -> None:
    """Its sum is right."""
    begin = pack(">6I", sqlite_wal.LITTLE_ENDIAN, 3_007_000, 4_097, 0, 1, 2)
    fill(wal(left), begin + pack(">2I", *sqlite_wal.sums((0, 0), begin, little=True)) + bytes(FRAME))
    assert "chat.db-wal is damaged" in await refusal(left)


@pytest.mark.parametrize("kept", [b"", b"\1" * 3])
async def test_an_index_that_is_only_begun_tells_of_nothing(
    left: Path, kept: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "index", lambda _: io.BytesIO(kept))
    assert "chat.db-wal is damaged" in await refusal(left)
    monkeypatch.undo()
    assert await head(left) == TURNS


async def test_a_log_that_another_program_has_emptied_meanwhile_is_no_damage(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_wal, "holds_anything", lambda _: True)
    os.truncate(wal(left), 10)
    assert await head(left) == 0


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_log_whose_database_is_gone_is_kept(left: Path, read_only: bool) -> None:
    before = wal(left).read_bytes()
    os.truncate(left, 0)
    assert "chat.db is empty, and chat.db-wal is not" in await refusal(left, read_only=read_only)
    os.unlink(left)
    assert "chat.db is empty, and chat.db-wal is not" in await refusal(left, read_only=read_only)
    assert wal(left).read_bytes() == before


def open_files() -> list[str]:
    return [os.readlink(it) for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]


async def test_whoever_has_looked_at_the_log_has_the_locks(left: Path) -> None:
    async with opened(left) as store:
        assert in_use(left) == list(IN_USE)
        await say(store, "again")
        assert open_files().count(f"{left}-shm") == 1  # SQLite's own, of all its connections


async def test_the_index_is_closed_when_nobody_in_this_process_needs_it(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now: list[object] = []
    looked: list[int] = []

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            open_now.append(self)

        def close(self) -> None:
            super().close()
            open_now.remove(self)

    class Index(io.FileIO):
        def close(self) -> None:
            looked.append(len(open_now))
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=Counted))
    monkeypatch.setattr(sqlite_wal, "index", lambda path: Index(f"{path}-shm"))
    assert await head(left) == TURNS
    assert looked
    assert set(looked) == {0}


def log_after(database: Path, folder: Path, statements: str) -> bytes:
    """What the log of a copy is when a process has done this and was killed."""
    folder.mkdir()
    take(database, folder / "chat.db")
    subprocess.run([sys.executable, "-c", IS_KILLED_AFTER, folder / "chat.db", statements], check=True)
    return wal(folder / "chat.db").read_bytes()


async def test_what_longer_turns_left_that_were_not_committed_is_no_damage(left: Path, tmp_path: Path) -> None:
    """A turn whose fsync failed is written over by the next one, which may be shorter."""
    longest, longer, short = (
        log_after(left, tmp_path / str(size), f"CREATE TABLE added AS SELECT zeroblob({size}) AS bytes")
        for size in (400_000, 200_000, 1)
    )
    assert len(short) < len(longer) < len(longest)
    wal(left).write_bytes(short + longer[len(short) :] + longest[len(longer) :])
    assert await head(left) == TURNS


async def test_what_is_left_of_a_log_that_has_begun_anew_is_no_damage(left: Path, tmp_path: Path) -> None:
    before = wal(left).read_bytes()
    anew = log_after(left, tmp_path / "anew", "PRAGMA wal_checkpoint; CREATE TABLE added (x)")
    assert anew[:32] != before[:32]
    assert anew[-20 * FRAME :] == before[-20 * FRAME :]
    assert await head(tmp_path / "anew" / "chat.db") == TURNS


async def test_what_was_left_behind_is_on_the_disk_before_anything_is_built_on_it(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written again, too: a system whose fsync failed may hold for clean what it could not write."""
    before = wal(left).read_bytes()
    written: dict[int, bytes] = {}
    synced: list[str] = []
    pwrite, fsync = os.pwrite, os.fsync

    def noted(file: int, data: bytes, at: int) -> int:
        if os.readlink(f"/proc/self/fd/{file}").endswith("-wal"):
            written[at] = data
        return pwrite(file, data, at)

    def told(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        fsync(file)

    monkeypatch.setattr(os, "pwrite", noted)
    monkeypatch.setattr(os, "fsync", told)
    assert await head(left) == TURNS
    assert b"".join(data for _, data in sorted(written.items())).startswith(before)
    assert str(wal(left)) in synced


async def test_what_cannot_be_brought_to_the_disk_is_not_built_on(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(Unusable, match="I/O error"):
        await head(left)
    monkeypatch.undo()
    assert await head(left) == TURNS


async def test_after_trouble_too_it_is_brought_to_the_disk_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    store = SqliteStore(path)
    await store.open("epoch", 1)
    await say(store, "hello")
    with pytest.raises(Unavailable):
        await store._writer.run(breaks)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(Unavailable, match="Input/output error"):
        await store.begin(0, [], [])
    monkeypatch.undo()
    await say(store, "again")
    await store.close()
    assert await head(path) == 2
