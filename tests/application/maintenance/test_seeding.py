"""`seed` fills an empty database by way of the turn, and the same number seeds the same."""

from pathlib import Path
from typing import Any

import pytest

from chat.application import maintenance
from chat.application.maintenance import seeding
from chat.domain.accounts import Account, Server
from chat.domain.errors import Unusable
from chat.domain.rooms import Room
from chat.infra.credentials import Argon2Passwords
from chat.infra.stores.memory import MemoryStore
from chat.logic.keys import SERVER, account_key, room_key
from chat.logic.sessions import living_session
from tests.application.maintenance.given import node_at, node_on

FEW: dict[str, Any] = {"accounts": 150, "rooms": 3, "members": 120, "messages": 700, "tokens": None, "seed": 1}


async def texts(**arguments: Any) -> list[bytes]:
    """The stored messages that a seed leads to, without their times."""
    async with node_on(MemoryStore()) as node:
        assert await maintenance.seed(node, FEW | arguments) == 0
        rows = await node.store.read_states("message:", 1_000)
        return [row.key.encode() + row.state.partition(b'"text":')[2] for row in rows if row.key < "message;"]


async def test_what_was_asked_for_is_there_and_sound(tmp_path: Path) -> None:
    async with node_at(tmp_path / "chat.db") as node:
        assert await maintenance.seed(node, FEW) == 0
        server = await node.reading.consult(lambda context: context.look(SERVER, Server))
        rooms = await node.reading.consult(
            lambda context: context.look_all([room_key(f"{number:08}r") for number in range(3)], Room)
        )
        assert server.accounts == 150
        assert len(server.owners) == 1
        assert [len(room.members) for room in rooms] == [120, 120, 120]
        assert await maintenance.verify(node, {}) == 0
    assert len(await texts()) == 700


async def test_the_same_number_seeds_the_same_and_another_does_not() -> None:
    assert await texts() == await texts() != await texts(seed=2)


async def test_a_token_of_each_account_is_written_for_nobody_else_to_read(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("of before, which everybody may read")
    async with node_on(MemoryStore()) as node:
        assert await maintenance.seed(node, FEW | {"tokens": str(file)}) == 0
        tokens = file.read_text().splitlines()
        name, _, secret = tokens[149].partition(".")
        account = await node.reading.consult(lambda context: context.look(account_key(name), Account))
        assert living_session(account, node.tokens.hash(secret), node.clock.now())
    assert len(tokens) == 150
    assert file.stat().st_mode & 0o777 == 0o600


async def test_everybody_has_the_password_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with node_on(MemoryStore()) as node:
        assert await maintenance.seed(node, FEW | {"messages": 0}) == 0
        account = await node.reading.consult(lambda context: context.look(account_key("00000149a"), Account))
    assert account.name == "user150"
    assert seeding.PASSWORD in capsys.readouterr().out
    assert await Argon2Passwords().verify(account.password, seeding.PASSWORD)


async def test_a_database_with_a_history_is_left_alone(database: Path) -> None:
    async with node_at(database) as node:
        with pytest.raises(Unusable, match="name a new one"):
            await maintenance.seed(node, FEW)
        assert node.cursor.position == (await node.store.read_info()).head


async def test_tokens_that_cannot_be_written_are_told_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node_on(MemoryStore()) as node:
        assert await maintenance.seed(node, FEW | {"tokens": str(tmp_path / "no" / "tokens")}) == 2
        assert node.cursor.position == 0
    assert "No such file" in capsys.readouterr().err


async def test_more_rooms_than_an_account_may_have_stop_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with node_on(MemoryStore()) as node:
        assert await maintenance.seed(node, FEW | {"accounts": 1, "rooms": 1_001}) == 1
    assert "stopped halfway" in capsys.readouterr().err
