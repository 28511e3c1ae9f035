"""A database that cannot be opened: the server says in one line what is wrong with it and what to do, and ends with
status 2.
"""

import ctypes
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.faults.disks import chat, small_disk
from tests.running import ROOT, clean_environment

PERMISSIONS: Final = "Permission denied; check the permissions of the file and its directory."
DROP_FROM_BOUND: Final = 24  # prctl(2)
OVERRIDE: Final = (1, 2)  # the capabilities by which root does without permissions


def powerless() -> None:
    """For root too, permissions count from the next exec on."""
    for capability in OVERRIDE:
        ctypes.CDLL(None).prctl(DROP_FROM_BOUND, capability, 0, 0, 0)


def start(folder: Path, database: str = "chat.db", *words: str) -> str:
    """What it says; whoever starts after all fails the test."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "chat.py"), *words, "--port", "0", f"--database=sqlite:{database}"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        preexec_fn=powerless,
    )
    assert (done.returncode, done.stdout) == (2, ""), done
    begin = f"chat: --database (CHAT_DATABASE) is 'sqlite:{database}': "
    assert done.stderr.startswith(begin)
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix(begin).strip()


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    assert chat(folder, "seed", "--accounts=2", "--rooms=1", "--messages=100").returncode == 0
    return folder / "chat.db"


@pytest.fixture
def file(seeded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(seeded, tmp_path / "chat.db"))


def spoil(at: int, length: int) -> Callable[[Path], None]:
    def spoiled(file: Path) -> None:
        with file.open("r+b") as opened:
            opened.seek(at)
            opened.write(b"\xff" * length)

    return spoiled


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def damage_wal(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE more (x)")
        wal = Path(f"{file}-wal").read_bytes()
    Path(f"{file}-wal").write_bytes(wal)
    spoil(0, 8)(Path(f"{file}-wal"))


BAD: Final = {
    "read-only": (lambda file: file.chmod(0o400), f"chat.db cannot be opened for writing: {PERMISSIONS}"),
    "unreadable": (lambda file: file.chmod(0), f"chat.db cannot be opened for writing: {PERMISSIONS}"),
    "in a read-only directory": (
        lambda file: file.parent.chmod(0o500),
        f"chat.db cannot be opened for writing: {PERMISSIONS}",
    ),
    "damaged at its beginning": (spoil(0, 16), "chat.db is no database, or its beginning is damaged: restore a backup"),
    "damaged in its schema": (spoil(100, 400), "chat.db is damaged: restore a backup."),
    "cut off": (cut, "chat.db is damaged: restore a backup."),
    "with a damaged log": (damage_wal, "chat.db-wal is damaged, and with it what was written last: restore a backup."),
    "newer": (newer, "chat.db was written by a newer version (schema 99, this one knows 2): start that one."),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_is_told_in_one_line(file: Path, make: Callable[[Path], None], sentence: str) -> None:
    make(file)
    try:
        assert start(file.parent).startswith(sentence)
    finally:
        file.parent.chmod(0o700)


def test_a_locked_file_is_told_in_one_line(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert start(file.parent) == "chat.db is in use by another program: stop it first."


@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ("none/chat.db", "The directory none does not exist: create it, or use another file."),
        (".", ". is a directory: name a file."),
        ("chat.db/chat.db", "chat.db/chat.db cannot be: a part of this path is no directory."),
    ],
)
def test_a_path_that_leads_nowhere_is_told_in_one_line(file: Path, database: str, sentence: str) -> None:
    assert start(file.parent, database) == sentence


@pytest.mark.requires("mount")
def test_a_read_only_file_system_is_told_in_one_line(file: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=8) as disk:
        shutil.copy(file, disk.folder / "chat.db")
        disk.make_read_only()
        for words, sentence in (
            ((), "small/chat.db cannot be opened for writing: Read-only file system.\n"),
            (("verify",), "and whether the file system is read-only.\n"),
        ):
            done = chat(tmp_path, *words, "--database=sqlite:small/chat.db", environment=disk.environment)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.endswith(sentence)
            assert done.stderr.count("\n") == 1


@pytest.mark.requires("mount")
def test_a_full_disk_is_told_in_one_line_whatever_is_on_it_already(file: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=8) as disk:
        for name in ("", "chat.db", "chat.db-lock"):
            if name:
                disk.make_room()
                (disk.folder / name).write_bytes(file.read_bytes() if name == "chat.db" else b"1")
            disk.fill()
            done = chat(tmp_path, "--database=sqlite:small/chat.db", environment=disk.environment)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.endswith("small/chat.db cannot be written to: the disk is full; make room.\n")
            assert done.stderr.count("\n") == 1
