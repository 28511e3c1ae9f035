"""The maintenance commands as somebody types them: what they say, and their exit status."""

import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from tests.client import Account
from tests.running import ROOT, clean_environment, running

PASSWORD = "typed by hand"


def chat(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "chat.py", *words],
        cwd=folder,
        env=clean_environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    done = chat(folder, "seed", "--accounts=3", "--rooms=1", "--messages=20", "--tokens=tokens")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(seeded: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test."""
    return Path(copytree(seeded, tmp_path / "seeded"))


def test_what_was_seeded_is_sound_and_can_be_folded_anew(folder: Path) -> None:
    for command in ("verify", "rebuild", "verify"):
        done = chat(folder, command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "as a fresh fold has them" in done.stdout


def test_a_password_given_by_hand_logs_in_and_older_sessions_end(folder: Path) -> None:
    token = (folder / "tokens").read_text().splitlines()[1]
    assert chat(folder, "password", "user2", typed=f"{PASSWORD}\n").returncode == 0
    with running(folder) as server:
        assert Account(server.address, token).get("me").status == 401
        assert Account(server.address).do("log_in", name="user2", password=PASSWORD)["token"]


def test_it_can_be_verified_beside_the_server_and_not_rebuilt(folder: Path) -> None:
    with running(folder):
        assert chat(folder, "verify").returncode == 0
        done = chat(folder, "rebuild")
    assert done.returncode == 2
    assert "in use by another process" in done.stderr


def test_a_backup_beside_the_server_is_sound_and_starts_by_itself(folder: Path) -> None:
    with running(folder):
        for _ in range(2):
            done = chat(folder, "backup", "copy.db")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("copy.db has everything up to at least event ")
    assert chat(folder, "verify", "--database=sqlite:copy.db").returncode == 0
    with running(folder, database="sqlite:copy.db") as server:
        assert Account(server.address, (folder / "tokens").read_text().split()[1]).get("me").status == 200


@pytest.mark.parametrize("words", [("verify",), ("rebuild",), ("new-epoch",), ("password", "x"), ("backup", "copy.db")])
def test_a_mistyped_database_is_not_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = chat(tmp_path, *words, "--database=sqlite:typo.db")
    assert done.returncode == 2
    assert done.stderr == "chat: --database (CHAT_DATABASE) is 'sqlite:typo.db': typo.db does not exist.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("password", "nobody"), 1, "nobody has ever been called"),
        (("seed",), 2, "seed fills an empty database only"),
        (("seed", "--messages=many"), 2, "allowed: a number from 0 to 1000000000"),
        (("verify", "--database=sqlite:none.db"), 2, "none.db"),
        (("verify", "--database=sqlite:tokens"), 2, "tokens"),
        (("backup", "--database=memory:", "copy.db"), 2, "only in memory"),
        (("backup", "chat.db"), 2, "'chat.db': chat.db is the database itself"),
        (("backup", "chat.db-lock"), 2, "is the database itself, or belongs to it"),
        (("seed", "--database=sqlite:another.db", "--tokens=chat.db"), 2, "--tokens chat.db: It is a database"),
        (("backup", "tokens"), 2, "tokens is there, and is no copy of a chat database"),
        (("backup", "none/copy.db"), 2, "The directory none does not exist"),
        (("backup", "/dev/full"), 2, "/dev/full is there"),
        (("backup",), 2, "FILE"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_status(
    folder: Path, words: tuple[str, ...], status: int, sentence: str
) -> None:
    done = chat(folder, *words)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.part"))
