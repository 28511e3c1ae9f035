"""`seed`: an empty database filled with accounts, rooms and messages, to look around in or to measure with.

Everything goes through the turn, in batches as large as a turn takes, so that a seeded database is one that was
talked in. The same `--seed` gives the same names, ids, rooms and texts; only tokens and times differ.
"""

import argparse
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, islice
from random import Random
from stat import S_ISREG
from typing import Any, Final

from msgspec.structs import replace

from chat.application.maintenance.findings import complain
from chat.application.maintenance.progress import Progress
from chat.application.maintenance.texts import Texts
from chat.application.node import Node
from chat.application.queue import Outcome, Waiting
from chat.application.turn import BATCH
from chat.domain import limits
from chat.domain.accounts import Register
from chat.domain.errors import Refused, Unusable
from chat.domain.messages import SendMessage
from chat.domain.rooms import CreateRoom, JoinRoom

PASSWORD: Final = "seeded-for-a-try"  # noqa: S105 of every account that is seeded
OWN_ONLY: Final = 0o600
SQLITE: Final = b"SQLite format 3\0"  # how a database begins


def number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed: a number from {least} to {most}")
        return int(text)

    return read


ARGUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "--accounts": {"type": number(1, 1_000_000), "default": 100, "help": "how many; the first is the owner"},
    "--rooms": {"type": number(0, 100_000), "default": 10, "help": "how many, all of them public"},
    "--members": {"type": number(1, limits.ROOM_MEMBERS), "default": 100, "help": "accounts in each room, or all"},
    "--messages": {"type": number(0, 1_000_000_000), "default": 10_000, "help": "in all rooms together"},
    "--tokens": {"metavar": "FILE", "help": "write a bearer token of each account there, one a line"},
    "--seed": {"type": number(0, 2**32), "default": 1, "help": "for other texts, another number"},
}


async def seed(node: Node, arguments: Mapping[str, Any]) -> int:
    """Raises `Unusable` where there is something already: all these accounts have one well-known password."""
    if node.cursor.position:
        raise Unusable("seed fills an empty database only, and this one has a history: name a new one")
    try:
        tokens = private_file(arguments["tokens"])
    except OSError as error:
        complain(f"cannot write --tokens {arguments['tokens']}: {error.strerror}")
        return 2
    node.settings = replace(node.settings, registration="open")
    try:
        await Seeding(node, arguments, tokens).run()
    except Refused as refusal:
        complain(f"seeding stopped halfway: {refusal.detail} Try other numbers, with a new database.")
        return 1
    finally:
        os.close(tokens)
    print(f"The accounts are user1 (the owner) to user{arguments['accounts']}; the password of each is {PASSWORD}")
    return 0


def private_file(path: str | None) -> int:
    """Open for writing, and for nobody else to read. Without a path, somewhere to throw things. Raises `OSError`, also
    for a database, which somebody may miss.
    """
    file = os.open(path or os.devnull, os.O_RDWR | os.O_CREAT, OWN_ONLY)
    if S_ISREG(os.fstat(file).st_mode):
        if os.pread(file, len(SQLITE), 0) == SQLITE:
            os.close(file)
            raise FileExistsError(errno.EEXIST, "It is a database")
        os.ftruncate(file, 0)
        os.fchmod(file, OWN_ONLY)
    return file


class Seeding:
    def __init__(self, node: Node, arguments: Mapping[str, Any], tokens: int) -> None:
        self._node = node
        self._wanted = arguments
        self._tokens = tokens
        self._chance = Random(arguments["seed"])  # noqa: S311
        self._texts = Texts(self._chance)
        self._accounts = [f"{number:08}a" for number in range(arguments["accounts"])]
        self._rooms = [f"{number:08}r" for number in range(arguments["rooms"])]
        self._members: list[list[str]] = []
        self._numbers = 0
        self._refused: list[Refused] = []

    async def run(self) -> None:
        """Raises `Refused` when something is not allowed after all."""
        hashed = await self._node.passwords.hash(PASSWORD)
        await self._submit("accounts", len(self._accounts), self._registrations(hashed))
        await self._submit("rooms", len(self._rooms), self._creations())
        await self._submit("members", sum(map(len, self._members)), self._arrivals())
        if self._rooms:
            await self._submit("messages", self._wanted["messages"], self._messages())

    async def _submit(self, what: str, total: int, waiting: Iterator[Waiting]) -> None:
        done = 0
        with Progress(what, total) as progress:
            while batch := list(islice(waiting, BATCH)):
                await self._node.turns.turn(batch)
                if self._refused:
                    raise self._refused[0]
                done += len(batch)
                progress.at(done)

    def _refuse_none(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            self._refused.append(outcome)

    def _next(self) -> str:
        """A command's id: without one of its own, it would be answered as the one before."""
        self._numbers += 1
        return f"{self._numbers:012}"

    def _registrations(self, password: str) -> Iterator[Waiting]:
        for index, account in enumerate(self._accounts, 1):
            secret, token = self._node.tokens.draw()
            os.write(self._tokens, f"{account}.{secret}\n".encode())
            command = Register(id=self._next(), name=f"user{index}", password=password, token=token)
            yield Waiting(command, account, "", account, self._refuse_none)

    def _creations(self) -> Iterator[Waiting]:
        """Each room with as many members as it can be created with."""
        size = min(self._wanted["members"], len(self._accounts))
        for room in self._rooms:
            owner, *members = self._chance.sample(self._accounts, size)
            self._members.append([owner, *members])
            first = tuple(members[: limits.FIRST_MEMBERS])
            command = CreateRoom(id=self._next(), title=self._texts.title(), kind="public", members=first)
            yield Waiting(command, owner, "", room, self._refuse_none)

    def _arrivals(self) -> Iterator[Waiting]:
        """Those who come later."""
        for room, members in zip(self._rooms, self._members, strict=True):
            for account in members[limits.FIRST_MEMBERS + 1 :]:
                yield Waiting(JoinRoom(id=self._next(), room=room), account, "", "", self._refuse_none)

    def _messages(self) -> Iterator[Waiting]:
        """The first room is the busiest: the room at rank n gets an nth of its messages."""
        weights = list(accumulate(1 / rank for rank in range(1, len(self._rooms) + 1)))
        for _ in range(self._wanted["messages"]):
            (at,) = self._chance.choices(range(len(self._rooms)), cum_weights=weights)
            author = self._chance.choice(self._members[at])
            command = SendMessage(id=self._next(), room=self._rooms[at], text=self._texts.text())
            yield Waiting(command, author, "", "", self._refuse_none)
