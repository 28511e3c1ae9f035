"""Moving from SQLite to PostgreSQL and back: everything is there, clients go on where they were, and a copy that was
broken off goes on where it was and is served by nobody before it is whole.
"""

import subprocess
import sys
from pathlib import Path
from shutil import copy as copy_file
from typing import Any, Final

import pytest

from chat.application import maintenance
from chat.application.codec import FORMAT
from chat.application.maintenance import moving
from chat.application.ports import Store
from chat.domain.errors import Unavailable, Unusable
from chat.domain.log import AnswerRow, LogRow, StateRow, Writes
from chat.domain.messages import DeleteMessage
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.postgres import PostgresStore
from chat.infra.stores.sqlite import SqliteStore
from tests.application.maintenance.given import carry_out, happen, node_at
from tests.client import Account, Talk
from tests.inside import new_node
from tests.running import ROOT, clean_environment, running
from tests.servers.postgres import shared

pytestmark = pytest.mark.requires("postgresql")

EVERY: Final = 1_000_000


@pytest.fixture(scope="module")
async def eventful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eventful") / "chat.db"
    async with node_at(path) as node:
        await happen(node)
        assert await node.store.lead() == 0
        await node.store.mark_published(9)
    return path


@pytest.fixture
def source(eventful: Path, tmp_path: Path) -> SqliteStore:
    return SqliteStore(copy_file(eventful, tmp_path / "chat.db"))


async def copied(source: Store, target: Store) -> int:
    """As the command line does it."""
    await source.open("", FORMAT)
    node = new_node(target)
    try:
        await node.start(unfinished=True)
        return await maintenance.copy(source, node)
    finally:
        await node.close()
        await source.close()


async def contents(store: Store) -> tuple[Any, ...]:
    """All that a store has, but for where its messages' words stand."""
    await store.open("", FORMAT)
    try:
        log: list[LogRow] = await store.read_log(0, EVERY)
        answers: list[AnswerRow] = await store.read_answers(("", ""), EVERY)
        states: list[StateRow] = [row for row in await store.read_states("", EVERY) if row.key.startswith("message:")]
        words, listed = await store.read_words(("", 0), EVERY), await store.read_listed(("", ""), EVERY)
        return await store.read_info(), log, answers, states, words, listed, await store.lead()
    finally:
        await store.close()


async def test_everything_goes_there_and_back(source: SqliteStore, tmp_path: Path) -> None:
    there = shared().new_database()
    assert await copied(source, PostgresStore(there)) == 0
    assert await copied(PostgresStore(there), SqliteStore(tmp_path / "back.db")) == 0
    expected = await contents(source)
    assert len(expected[1]) > 400
    assert await contents(PostgresStore(there)) == expected
    assert await contents(SqliteStore(tmp_path / "back.db")) == expected
    node = new_node(PostgresStore(there))
    await node.start()
    assert await maintenance.verify(node, {}) == 0
    await node.close()


class BreaksOff(PostgresStore):
    """After so many commits."""

    left = 0

    async def commit(self, writes: Writes) -> None:
        if not self.left:
            await self.abandon()
            raise Unavailable("gone")
        self.left -= 1
        await super().commit(writes)


async def test_a_copy_that_was_broken_off_goes_on_and_nobody_serves_it_before(
    source: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "PAGE", 50)
    there = shared().new_database()
    tries = 0
    while True:
        target = BreaksOff(there)
        target.left = 3
        tries += 1
        try:
            assert await copied(source, target) == 0
            break
        except Unavailable:
            pass
        with pytest.raises(Unusable, match="not finished"):
            await start(PostgresStore(there))
        if tries == 4:
            await take_back_something(source)
    assert tries > 5
    assert await contents(PostgresStore(there)) == await contents(source)


async def start(store: Store) -> None:
    node = new_node(store)
    try:
        await node.start()
    finally:
        await node.close()


async def take_back_something(source: SqliteStore) -> None:
    """Of what was copied already."""
    async with node_at(source.path) as node:
        before = await node.store.read_log(0, EVERY)
        await carry_out(node, ("ida", "", DeleteMessage(id="late", room="busy", message=3)))
        after = await node.store.read_log(0, EVERY)
    assert len(after) == len(before) + 1
    assert sum(one != other for one, other in zip(before, after, strict=False)) == 1


async def test_nothing_is_copied_over_something_else(source: SqliteStore) -> None:
    there = shared().new_database()

    async def other() -> None:
        node = new_node(PostgresStore(there))
        await node.start()
        await happen(node)
        await node.close()

    await other()
    with pytest.raises(Unusable, match="empty database"):
        await copied(source, PostgresStore(there))


async def test_a_source_that_a_node_works_on_is_not_copied() -> None:
    there = shared().new_database()
    node, other = PostgresStore(there), PostgresStore(there)
    await node.open("epoch", FORMAT)
    await other.open("epoch", FORMAT)
    await maintenance.must_rest(other)
    await other.resign()
    assert await node.lead() == 0
    with pytest.raises(Unusable, match="stop all nodes"):
        await maintenance.must_rest(other)
    await other.close()
    await node.close()


async def test_a_finished_copy_is_left_alone(source: SqliteStore, capsys: pytest.CaptureFixture[str]) -> None:
    memory = MemoryStore()
    assert await copied(source, memory) == 0
    assert await copied(source, memory) == 0
    assert "finished copy already" in capsys.readouterr().out


def chat(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "chat.py", *words],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_as_somebody_types_it_and_clients_go_on_there(tmp_path: Path) -> None:
    there = shared().new_database()
    done = chat(tmp_path, "seed", "--accounts=3", "--rooms=1", "--messages=200", "--tokens=tokens")
    assert done.returncode == 0, done.stderr
    token = (tmp_path / "tokens").read_text().splitlines()[0]
    with running(tmp_path) as server:
        room = Account(server.address, token).ask("list_rooms")["rooms"][0]
        epoch = await epoch_at(Account(server.address, token))
        assert server.stop() == 0
    done = chat(tmp_path, "copy", "--from=sqlite:chat.db", f"--to={there}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "events and" in done.stdout
    assert chat(tmp_path, "verify", f"--database={there}").returncode == 0
    with running(tmp_path, database=there) as server:
        account = Account(server.address, token)
        assert account.ask("list_rooms")["rooms"] == [room]
        assert await epoch_at(account) == epoch
        async with Talk(account) as talk:
            await talk.until(type="hello")
            await talk.say("resume", epoch=epoch, rooms={room["id"]: room["seq"] - 3})
            await talk.until(type="caught_up")
            assert talk.events(room["id"]) == [room["seq"] - 2, room["seq"] - 1, room["seq"]]
            assert (await talk.ask("send_message", room=room["id"], text="here"))["seq"] == room["seq"] + 1
        assert server.stop() == 0


async def epoch_at(account: Account) -> str:
    async with Talk(account) as talk:
        return str((await talk.until(type="hello"))["epoch"])


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("chat.db", "memory:", "--from is 'chat.db'; allowed: sqlite:<path>"),
        ("sqlite:nowhere.db", "memory:", "--from is 'sqlite:nowhere.db'"),
        ("memory:", "postgresql://ann:secret@127.0.0.1:1/chat", "--to is 'postgresql://ann@127.0.0.1:1/chat'"),
        ("memory:", "mysql://ann:secret@host", "--to is 'mysql://ann@host'; allowed: sqlite:<path>"),
    ],
)
def test_a_database_that_cannot_be_copied_is_named(tmp_path: Path, source: str, target: str, told: str) -> None:
    done = chat(tmp_path, "copy", f"--from={source}", f"--to={target}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"chat: {told}"), done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
