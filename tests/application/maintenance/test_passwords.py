"""`password` gives an account another password, and logs it out everywhere."""

import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from chat.application import maintenance
from chat.application.maintenance import passwords
from chat.application.node import Node
from chat.domain.accounts import Account, CreateBot, Register
from chat.infra.credentials import Argon2Passwords
from chat.infra.stores.memory import MemoryStore
from chat.logic.keys import account_key
from tests.application.maintenance.given import carry_out, node_on
from tests.inside import TABLES

NEW = "a new password"


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with node_on(MemoryStore()) as node:
        await carry_out(
            node,
            ("ann", "ann", Register(id="r", name="Ann", password="hash", token="token")),
            ("ann", "bot", CreateBot(id="b", name="robot", token="another")),
        )
        yield node


async def account(node: Node, name: str = "ann") -> Account:
    return await node.reading.consult(lambda context: context.look(account_key(name), Account))


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    answers: Iterator[str] = iter(lines)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(passwords, "getpass", lambda _: next(answers))


async def test_the_new_one_opens_and_every_session_ends(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await account(node)).sessions
    piped(monkeypatch, f"{NEW}\n")
    assert await maintenance.password(node, {"name": "ANN"}) == 0
    ann = await account(node)
    assert await Argon2Passwords().verify(ann.password, NEW)
    assert not ann.one_time
    assert not ann.sessions
    assert await maintenance.verify(node, {}) == 0


async def test_on_a_terminal_it_is_typed_twice(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, NEW, NEW)
    assert await maintenance.password(node, {"name": "ann"}) == 0
    assert await Argon2Passwords().verify((await account(node)).password, NEW)


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("nobody", [NEW, NEW], "nobody has ever been called 'nobody'"),
        ("ann", [NEW, "another one"], "two different ones"),
        ("ann", ["short", "short"], "8 to 256 characters"),
        ("robot", [NEW, NEW], "A bot has no password."),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    lines: list[str],
    sentence: str,
) -> None:
    before = node.cursor.position
    typed(monkeypatch, *lines)
    assert await maintenance.password(node, {"name": name}) == 1
    assert sentence in capsys.readouterr().err
    assert node.cursor.position == before


def test_no_door_offers_what_is_done_by_hand() -> None:
    known: Any = TABLES.commands
    assert "SetPassword" not in {kind.__name__ for kind in known}
