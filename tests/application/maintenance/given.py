"""A node that does not serve, as the maintenance commands get it, and a history in which much happens."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from chat.application.node import Node
from chat.application.ports import Store
from chat.application.queue import Waiting
from chat.domain.accounts import Register
from chat.domain.messages import DeleteMessage, EditMessage, MarkRead, SendMessage
from chat.domain.rooms import CreateRoom, RenameRoom
from chat.domain.vocabulary import Command
from chat.infra.stores.sqlite import SqliteStore
from chat.logic.mediator import Commands
from tests.inside import SETTINGS, TABLES, WIRING
from tests.laws.history import live

COMMANDS: Commands = {**TABLES.commands, **WIRING["BY_HAND"]}


@asynccontextmanager
async def node_on(store: Store) -> AsyncIterator[Node]:
    node: Node = WIRING["node_of"](SETTINGS, store, TABLES._replace(commands=COMMANDS))
    await node.start()
    try:
        yield node
    finally:
        await node.close()


def node_at(path: Path, *, read_only: bool = False) -> AbstractAsyncContextManager[Node]:
    return node_on(SqliteStore(path, read_only=read_only))


async def carry_out(node: Node, *wishes: tuple[str, str, Command]) -> None:
    """Actor, fresh id and command of each, a few in a turn; what is refused is refused."""

    def ignore(_: Any) -> None: ...

    batch = [Waiting(command, actor, "", fresh, ignore) for actor, fresh, command in wishes]
    for start in range(0, len(batch), 7):
        await node.turns.turn(batch[start : start + 7])


async def happen(node: Node) -> None:
    """People of the laws' world do whatever they like; and ida talks, in the busiest room that there is."""
    steps = live(Random(11), 400).steps
    await carry_out(
        node,
        *(
            (step.outcome.actor, step.beside["fresh"], replace(step.wish.command, id=f"{number:04}"))
            for number, step in enumerate(steps)
        ),
    )
    await carry_out(
        node,
        ("ida", "ida", Register(id="r", name="ida", password="hash of ida", token="token of ida")),
        ("ida", "busy", CreateRoom(id="c", title="Busy", kind="public")),
        *(("ida", "", SendMessage(id=f"m{n}", room="busy", text=f"number {n} of many")) for n in range(300)),
        ("ida", "", EditMessage(id="e", room="busy", message=7, text="an edited text")),
        ("ida", "", DeleteMessage(id="d", room="busy", message=9)),
        ("ida", "", MarkRead(id="k", room="busy", message=11)),
        ("ida", "", RenameRoom(id="n", room="busy", title="Busiest")),
    )
