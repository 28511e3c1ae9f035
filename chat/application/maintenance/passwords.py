"""`password NAME`: a new password for an account, typed by whoever runs the server."""

import asyncio
import sys
from collections.abc import Mapping
from getpass import getpass
from signal import SIGINT, default_int_handler, signal
from typing import Any

from chat.application.maintenance.findings import complain
from chat.application.node import Node
from chat.application.queue import Outcome, Waiting
from chat.domain import limits
from chat.domain.accounts import SetPassword, TakenName
from chat.domain.errors import Refused
from chat.logic.keys import name_key


async def password(node: Node, arguments: Mapping[str, Any]) -> int:
    """Nodes may go on beside it: what they write is followed."""
    following = asyncio.create_task(node.follower.run())
    try:
        return await give_password(node, arguments["name"])
    finally:
        following.cancel()


async def give_password(node: Node, name: str) -> int:
    taken = await node.reading.consult(lambda context: context.look(name_key(name), TakenName))
    if not taken.account:
        complain(f"nobody has ever been called {name!r}: log in as an admin to see who there is.")
        return 1
    new = read_password(name)
    if new is None:
        return 1
    if not limits.PASSWORD_LEAST <= len(new) <= limits.PASSWORD:
        complain(f"a password has {limits.PASSWORD_LEAST} to {limits.PASSWORD} characters: nothing was changed.")
        return 1
    outcome = await set_password(node, taken.account, await node.passwords.hash(new))
    if isinstance(outcome, Refused):
        complain(f"{outcome.detail} Nothing was changed.")
        return 1
    print(f"{name} has a new password, and is logged out everywhere")
    return 0


def read_password(name: str) -> str | None:
    """Typed twice and not shown on a terminal; else a line of the standard input. None when the two differ."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().removesuffix("\n")
    signal(SIGINT, default_int_handler)  # the event loop's own would wait for the prompt
    first = getpass(f"New password for {name}: ")
    if getpass("Once more: ") == first:
        return first
    complain("these were two different ones: nothing was changed.")
    return None


async def set_password(node: Node, account: str, hashed: str) -> Outcome:
    outcomes: list[Outcome] = []
    command = SetPassword(id=node.ids.fresh(), account=account, password=hashed)
    await node.turns.turn([Waiting(command, "", "", "", outcomes.append)])
    return outcomes[0]
