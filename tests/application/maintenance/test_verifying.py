"""`verify` finds what is not as a fresh fold has it, and names it; `rebuild` mends it, unless it is the log itself."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chat.application import maintenance
from chat.application.maintenance.anew import Anew
from chat.domain.log import StateRow
from chat.domain.messages import SendMessage
from chat.infra.stores.memory import MemoryStore
from tests.application.maintenance.given import carry_out, happen, node_at, node_on

MESSAGE = "message:busy:0000000000000007"
GONE = "message:busy:0000000000000009"

# What is done to the file, and what the first line about it begins with.
FOLDED = {
    "an account's state": (
        "UPDATE states SET state = CAST(replace(state, 'ida', 'eve') AS BLOB) WHERE key = 'account:ida'",
        "account:ida: what is stored as of seq",
    ),
    "a message's state": (
        "UPDATE states SET state = CAST(replace(state, 'edited', 'forged') AS BLOB) WHERE key = :message",
        f"{MESSAGE}: what is stored is not what the log folds to",
    ),
    "a state that cannot be read": (
        "UPDATE states SET state = CAST('{' AS BLOB) WHERE key = 'name:ida'",
        "name:ida: what is stored cannot be read",
    ),
    "a message's state that is missing": ("DELETE FROM states WHERE key = :gone", f"{GONE}: it is not stored"),
    "another state that is missing": ("DELETE FROM states WHERE key = 'name:ida'", "name:ida: it is not stored"),
    "a message that was never sent": (
        "INSERT INTO states SELECT 'message:busy:0000000000009999', seq, format, state FROM states"
        " WHERE key = :message",
        "message:busy:0000000000009999: it is stored, but no event is of it",
    ),
    "an account that never was": (
        "INSERT INTO states SELECT 'account:ghost', seq, format, state FROM states WHERE key = 'account:ida'",
        "account:ghost: it is stored, but no event is of it",
    ),
    "a state ahead of its stream": (
        "UPDATE states SET seq = seq + 1000 WHERE key = 'room:busy'",
        "room:busy: it is stored as of seq",
    ),
    "a state that missed another stream's event": (
        "UPDATE states SET seq = 1, state = CAST('{\"name\":\"ida\"}' AS BLOB) WHERE key = 'account:ida'",
        "account:ida: it is stored as of seq 1, but was changed from elsewhere since",
    ),
    "a word that is missing": (
        "INSERT INTO words(words, rowid, held) SELECT 'delete', position, 'room:busy author:ida an edited text'"
        " FROM log WHERE about = :message AND seq = 7",
        f"{MESSAGE}: its words at position",
    ),
    "words of a message that is gone": (
        "INSERT INTO words(rowid, held) SELECT position, 'secret' FROM log WHERE about = :gone",
        f"{GONE}: its words at position",
    ),
    "words of nothing": (
        "INSERT INTO words(rowid, held) VALUES (987654, 'nothing')",
        "position 987654: words are filed",
    ),
    "a label": (
        "UPDATE listed SET label = 'other' WHERE key = 'room:busy'",
        "room:busy: on the list public_rooms it is 'other', and should be 'busiest'",
    ),
    "a list that is missing one": (
        "DELETE FROM listed WHERE key = 'account:ida'",
        "account:ida: on the list accounts it should be 'ida', and is missing",
    ),
    "a list with one too many": (
        "INSERT INTO listed (list, key, label) VALUES ('accounts', 'account:ghost', 'ghost')",
        "account:ghost: on the list accounts it is 'ghost', and should be None",
    ),
}
LOG = {
    "an answer that cannot be read": (
        "UPDATE answered SET answer = CAST('{' AS BLOB) WHERE id = 'm7'",
        "the answer to ida's command m7: cannot be read",
    ),
    "an answer that promises what is not there": (
        'UPDATE answered SET answer = CAST(\'{"room":"busy","seq":9999}\' AS BLOB) WHERE id = \'m7\'',
        "the answer to ida's command m7: promises seq 9999 of room:busy, which is not in the log",
    ),
    "a seq": (
        "UPDATE log SET seq = 5000 WHERE stream = 'room:busy' AND seq = 50",
        "it has seq 5000 of room:busy, after 49",
    ),
    "a position": ("DELETE FROM log WHERE stream = 'room:busy' AND seq = 50", "it follows"),
    "the end": (
        "UPDATE log SET position = position + 5 WHERE position = (SELECT max(position) FROM log)",
        "it follows",
    ),
    "about": ("UPDATE log SET about = 'message:busy:1' WHERE about = :message", "it is about message:busy:1"),
    "an event that cannot be read": (
        "UPDATE log SET event = CAST('{}' AS BLOB) WHERE stream = 'room:busy' AND seq = 50",
        "its event cannot be read",
    ),
    "an event that cannot be folded": (
        'UPDATE log SET event = CAST(replace(event, \'"room":"busy"\', \'"room":"none"\') AS BLOB)'
        " WHERE stream = 'account:ida' AND CAST(event AS TEXT) LIKE '%room_read%'",
        "its event cannot be folded: KeyError('none')",
    ),
    "an event of another account": (
        'UPDATE log SET event = CAST(replace(event, \'"account":"ida"\', \'"account":"eve"\') AS BLOB)'
        " WHERE stream = 'account:ida' AND seq = 1",
        "it stands in account:ida, its event belongs to account:eve",
    ),
    "an event of another room": (
        'UPDATE log SET event = CAST(replace(event, \'"room":"busy"\', \'"room":"other"\') AS BLOB)'
        " WHERE stream = 'room:busy' AND seq = 50",
        "it stands in room:busy, its event belongs to room:other",
    ),
    "a message of the future": (
        "UPDATE log SET event = CAST(replace(event, '\"message\":7', '\"message\":9007199254740000') AS BLOB)"
        " WHERE about = :message AND CAST(event AS TEXT) LIKE '%message_edited%'",
        "which is not there yet",
    ),
}


def spoil(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(statement, {"message": MESSAGE, "gone": GONE}).rowcount, "nothing was spoiled"


async def test_what_happened_is_sound(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "all as a fresh fold has them" in out


async def test_what_happened_in_memory_is_sound() -> None:
    async with node_on(MemoryStore()) as node:
        await happen(node)
        assert await maintenance.verify(node, {}) == 0
        assert await maintenance.rebuild(node, {}) == 0
        assert await maintenance.verify(node, {}) == 0


async def test_nothing_is_sound(tmp_path: Path) -> None:
    async with node_at(tmp_path / "chat.db") as node:
        assert await maintenance.verify(node, {}) == 0


@pytest.mark.parametrize(("statement", "line"), FOLDED.values(), ids=FOLDED)
async def test_what_is_folded_wrongly_is_named_and_mended(
    database: Path, capsys: pytest.CaptureFixture[str], statement: str, line: str
) -> None:
    spoil(database, statement)
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 1
    told = capsys.readouterr()
    assert told.out.startswith(line)
    assert told.out.count("\n") == 1
    assert "rebuild" in told.err
    async with node_at(database) as node:
        assert await maintenance.rebuild(node, {}) == 0
    assert capsys.readouterr().out.startswith(line)
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 0


@pytest.mark.parametrize(("statement", "line"), LOG.values(), ids=LOG)
async def test_a_damaged_log_is_found_and_left_as_it_is(
    database: Path, capsys: pytest.CaptureFixture[str], statement: str, line: str
) -> None:
    spoil(database, statement)
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 1
    told = capsys.readouterr()
    assert line in told.out
    assert "backup" in told.err
    before, tables = folded_rows(database), tables_of(database)
    async with node_at(database) as node:
        assert await maintenance.rebuild(node, {}) == 1
        if "cannot be folded" not in line and "answer" not in line:  # it is not even begun
            assert tables_of(database) == tables
    assert folded_rows(database) == before
    assert tables_of(database) == tables


async def test_an_event_of_a_newer_version_is_no_damage(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(
        database,
        "UPDATE log SET event = CAST(replace(event, 'message_edited', 'message_starred') AS BLOB)"
        " WHERE about = :message AND CAST(event AS TEXT) LIKE '%message_edited%'",
    )
    before = folded_rows(database)
    for command in (maintenance.verify, maintenance.rebuild):
        async with node_at(database) as node:
            assert await command(node, {}) == 1
        told = capsys.readouterr()
        assert "its event is a message_starred, which this version does not know" in told.out
        assert told.err.startswith("chat: a newer version wrote to this log")
    assert folded_rows(database) == before


async def test_a_rebuild_that_is_broken_off_leaves_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, tables = folded_rows(database), tables_of(database)

    async def interrupted(_: Anew) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Anew, "rest", interrupted)
    with pytest.raises(asyncio.CancelledError):
        async with node_at(database) as node:
            await maintenance.rebuild(node, {})
    assert folded_rows(database) == before
    assert tables_of(database) == tables


def tables_of(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for [name] in connection.execute("SELECT name FROM sqlite_schema")}


def folded_rows(database: Path) -> list[tuple[str, bytes]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT key, state FROM states").fetchall()


async def test_a_damage_everywhere_is_told_in_twenty_lines(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(database, "DELETE FROM states WHERE key LIKE 'message:busy:%'")
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 280 more"


async def test_a_state_behind_in_its_own_stream_is_no_fault(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        [[written]] = connection.execute("SELECT seq FROM states WHERE key = 'room:busy'").fetchall()
        [[last]] = connection.execute("SELECT max(seq) FROM log WHERE stream = 'room:busy'").fetchall()
    assert 0 < written < last
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 0


async def test_it_can_be_verified_while_people_talk(database: Path) -> None:
    """Those who talk change states, words and lists that are being compared."""
    async with node_at(database) as talking, node_at(database, read_only=True) as node:

        async def talk() -> None:
            for number in range(200):
                await carry_out(
                    talking, ("ida", "", SendMessage(id=f"now {number}", room="busy", text=f"now {number}"))
                )

        task = asyncio.create_task(talk())
        await asyncio.sleep(0.02)
        assert await maintenance.verify(node, {}) == 0
        await task


def page_of(database: Path, name: str) -> int:
    """Where the first page of a table or an index begins."""
    with closing(sqlite3.connect(database)) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
        [[size]] = connection.execute("PRAGMA page_size").fetchall()
    return int((page - 1) * size)


@pytest.mark.parametrize(
    ("table", "part"),
    [("log", "log_about"), ("states", "states"), ("answered", "answered"), ("words_data", "words_data")],
)
async def test_a_damaged_file_is_found_and_its_table_named(
    database: Path, capsys: pytest.CaptureFixture[str], table: str, part: str
) -> None:
    at = page_of(database, part)
    with database.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 2_000)
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"table {table}: ")
    assert told.out.count("\n") <= 21
    assert told.err == "chat: the file is damaged: stop the server and restore a backup.\n"


async def test_an_index_that_has_lost_a_row_is_found(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No fold shows it: what is looked up by the index is not there."""
    with closing(sqlite3.connect(database)) as connection, connection:
        [index] = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'log_about'").fetchall()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'log_about'")
    spoil(database, "UPDATE log SET about = 'message:busy:1' WHERE about = :message")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
    async with node_at(database, read_only=True) as node:
        assert await maintenance.verify(node, {}) == 1
    assert "missing from index log_about" in capsys.readouterr().out


async def test_what_is_written_anew_goes_on(database: Path) -> None:
    """A node that opens the rebuilt tables decides on them as on those before."""
    async with node_at(database) as node:
        assert await maintenance.rebuild(node, {}) == 0
    async with node_at(database) as node:
        await carry_out(node, ("ida", "", SendMessage(id="after", room="busy", text="after all")))
        page = await node.store.read_states("message:busy:00000000000002", 1_000)
        assert isinstance(page[-1], StateRow)
        assert await maintenance.verify(node, {}) == 0


async def test_a_new_epoch_is_told_and_kept(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with node_at(database) as node:
        old = node.epoch
        assert await maintenance.new_epoch(node, {}) == 0
    async with node_at(database) as node:
        assert node.epoch == capsys.readouterr().out.strip() != old
