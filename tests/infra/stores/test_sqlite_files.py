"""Files that are not what they should be: each is refused with a sentence, and left as it is."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Unavailable, Unusable
from chat.domain.log import LogInfo
from chat.infra.stores import sqlite_file
from chat.infra.stores import sqlite_schema as schema
from chat.infra.stores.sqlite import SqliteStore
from chat.infra.stores.sqlite_copy import APPLICATION
from tests.infra.stores.files import PAGE, content, fill, modes, opened, refusal, spoil
from tests.infra.stores.given import everything, say, sent


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    diary = b"Dear diary, " * 1_000
    fill(path, diary)
    assert "is no database" in await refusal(path)
    assert "is no database" in await refusal(path, read_only=True)
    assert content(path) == diary


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    before = content(path)
    assert "another program" in await refusal(path)
    assert content(path) == before


@pytest.mark.parametrize(("at", "length"), [(0, 16), (16, 8), (0, 100), (100, 400)])
async def test_a_damaged_beginning_is_found(path: Path, at: int, length: int) -> None:
    async with opened(path) as store:
        await say(store, "hello")
    spoil(path, at, length)
    assert "damaged" in await refusal(path)


async def test_damage_further_in_makes_reading_unavailable_not_wrong(path: Path) -> None:
    async with opened(path) as store:
        await say(store, *["hello"] * 100)
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'states'"
        [[page]] = await store._finder.run(lambda connection: connection.execute(root).fetchall())
    spoil(path, (page - 1) * PAGE, PAGE)
    async with opened(path, read_only=True) as store:
        with pytest.raises(Unavailable, match="malformed"):
            await store.read_states("", 10)


async def test_a_file_of_a_newer_schema_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "newer version (schema 99" in await refusal(path)
    assert "newer version (schema 99" in await refusal(path, read_only=True)


async def test_a_log_of_a_newer_format_is_refused_to_readers_too(path: Path) -> None:
    async with opened(path, 7):
        pass
    assert "newer version (format 7, this one knows 3)" in await refusal(path, 3, read_only=True)


async def test_a_reader_leaves_the_format_as_it_is(path: Path) -> None:
    async with opened(path, 1):
        pass
    async with opened(path, 2, read_only=True) as store:
        assert (await store.read_info()).format == 1


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    where = tmp_path / "nowhere" / "chat.db"
    assert f"{where.parent} does not exist" in await refusal(where)
    assert not where.parent.exists()


async def test_a_reader_makes_no_file(path: Path) -> None:
    assert "does not exist" in await refusal(path, read_only=True)
    assert modes(path.parent) == {}


def test_a_directory_that_has_gone_meanwhile_is_not_full(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    assert sqlite_file.sentence(tmp_path / "gone" / "chat.db", error).endswith("chat.db does not exist.")


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "directory" in await refusal(tmp_path)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("left", [100, 3_000, 4_096, 20_000, -4_096, -1])
async def test_a_truncated_file_is_found(path: Path, left: int, read_only: bool) -> None:
    async with opened(path) as store:
        await say(store, *["hello"] * 100)
    os.truncate(path, left if left > 0 else len(content(path)) + left)
    assert "is damaged: restore a backup" in await refusal(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
async def test_what_is_no_file_is_named(tmp_path: Path, read_only: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no file" in await refusal(tmp_path / "pipe", read_only=read_only)
    assert "/dev/null is no file" in await refusal(Path("/dev/null"), read_only=read_only)
    assert "is a directory" in await refusal(tmp_path, read_only=read_only)
    assert "a part of this path is no directory" in await refusal(tmp_path / "pipe" / "chat.db", read_only=read_only)


async def test_a_file_is_made_only_by_those_who_mean_to(path: Path) -> None:
    with pytest.raises(Unusable, match="does not exist"):
        await SqliteStore(path, create=False).open("epoch", 1)
    assert modes(path.parent) == {}
    async with opened(path) as store:
        await say(store, "hello")
    store = SqliteStore(path, create=False)
    assert (await store.open("another", 1)).head == 1
    await store.close()


async def test_a_file_that_another_program_has_locked_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "in use by another program: stop it first" in await refusal(path)
    async with opened(path) as store:
        await say(store, "hello")


async def test_what_may_not_be_opened_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert (await refusal(path)).startswith(f"{path} cannot be opened for writing: Permission denied; check")


async def test_a_library_without_what_is_needed_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert "too old: 3.37.0" in await refusal(path)


@pytest.mark.parametrize("name", ["with space.db", "100%.db", "what?.db", "größe#1.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path / name) as store:
        await say(store, "hello")
    assert modes(tmp_path).keys() == {name, f"{name}-lock"}


async def test_a_link_is_the_file_that_it_leads_to(path: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.db"
    os.symlink(path, link)
    for _ in range(2):
        async with opened(link) as store:
            await say(store, "hello")
            assert "in use" in await refusal(path)
        async with opened(path):
            assert "in use" in await refusal(link)
    assert modes(link.parent).keys() == {"link.db"}
    assert modes(path.parent).keys() == {"chat.db", "chat.db-lock", "links"}


# Older files.

NEWER = "CREATE TABLE more (what TEXT) STRICT; UPDATE states SET format = 2;"


async def test_an_older_file_is_copied_and_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER))
    copied = path.with_name(f"chat.db.before-v{len(schema.MIGRATIONS)}")
    assert "older version" in await refusal(path, read_only=True)
    async with opened(path) as store:
        assert (await store.read_states("", 9))[0].format == 2
        await say(store, "next")
    monkeypatch.undo()
    assert "newer version" in await refusal(path)
    assert modes(path.parent)[copied.name] == 0o600
    async with opened(copied) as store:
        assert await everything(store) == before
    assert not [name for name in modes(path.parent) if "part" in name]


async def test_a_file_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO log_info VALUES ('first', 1)")
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", sent(1))
        connection.commit()
    assert "older version" in await refusal(path, read_only=True)
    async with opened(path) as store:
        assert await store.read_info() == LogInfo("first", 1, 1)
        assert await store.read_log(0, 9) == [sent(1)]
        assert await store.lead() == 0
        await store.mark_published(1)
    with closing(sqlite3.connect(path.with_name("chat.db.before-v2"))) as copied:
        assert copied.execute("PRAGMA user_version").fetchall() == [(1,)]
    async with opened(path) as store:
        assert await store.lead() == 1


async def test_a_new_file_needs_no_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER))
    async with opened(path) as store:
        await say(store, "hello")
    assert modes(path.parent).keys() == {"chat.db", "chat.db-lock"}


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as store:
        await say(store, "hello")
        before = await everything(store)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEWER + "DROP TABLE absent;"))
    assert "no such table: absent" in await refusal(path)
    monkeypatch.undo()
    async with opened(path) as store:
        assert await everything(store) == before
