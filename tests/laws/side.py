"""One node on one store, carrying out what it is told, with clients that listen; to be held against another."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from chat.application.codec import Codec, encode
from chat.application.ports import Broker, Store
from chat.application.queue import Again, Outcome, Waiting
from chat.domain.errors import Refused
from chat.domain.log import LogRow
from chat.domain.vocabulary import Command, Query
from chat.logic.mediator import Version
from chat.logic.redaction import about, redacted
from chat.logic.sessions import later
from tests.inside import Listener, new_node
from tests.logic.given import NOW, TABLES

EVERY: Final = 1_000_000

CODEC: Final = Codec(TABLES)

Told = tuple[type, Any]  # what a sender or an asker was told, to be compared


class Carried(NamedTuple):
    """A command as a turn gets it."""

    command: Command
    actor: str
    session: str
    fresh: str


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.hours = 0

    def now(self) -> str:
        return later(NOW, timedelta(hours=self.hours))

    def seconds(self) -> float:
        return self.hours * 3600.0


class Client:
    """Somebody who listens, and what should have been heard since hello."""

    def __init__(self, listener: Listener, session: str) -> None:
        self.listener = listener
        self.session = session
        self.due: defaultdict[str, deque[bytes]] = defaultdict(deque)  # by room
        self._checked = 0  # frames

    def check(self) -> None:
        """It has heard that and nothing else of any room, with or without what was taken back soon after; up to some
        point, if it was sent away."""
        heard = self.listener.wire.heard
        for frame in heard[self._checked :]:
            event = msgspec.json.decode(frame)
            if "seq" in event and "by" in event:
                due = self.due[event["room"]].popleft()
                assert frame in (due, without(due)) or without(frame) == due
        self._checked = len(heard)
        assert self.listener.wire.closed is not None or not any(self.due.values())


def without(encoded: bytes) -> bytes:
    """An event as it is left when what it tells of was taken back."""
    event = CODEC.event(encoded)
    return encode(redacted(event)) if about(event) else encoded


class Side:
    def __init__(self, make_store: Callable[[], Store], clock: Clock, broker: Broker | None = None) -> None:
        self._make_store = make_store
        self._clock = clock
        self._broker = broker
        self.clients: dict[str, Client] = {}  # by account

    async def open(self) -> None:
        self.node = new_node(self._make_store(), self._clock, self._broker)
        await self.node.start()

    async def close(self) -> None:
        await self.send_away()
        await self.node.close()

    async def restart(self) -> None:
        """What it knew is gone, but for what it has stored."""
        await self.close()
        await self.open()

    # ---- commands and questions

    async def turn(self, batch: Sequence[Carried]) -> list[Told]:
        outcomes: dict[int, Outcome] = {}

        def waiting(index: int, one: Carried) -> Waiting:
            return Waiting(*one, lambda outcome: outcomes.__setitem__(index, outcome))

        await self.node.turns.turn([waiting(index, one) for index, one in enumerate(batch)])
        return [told(outcomes[index]) for index in range(len(batch))]

    async def ask(self, query: Query, asker: str, session: str = "") -> Told:
        try:
            answer = await self.node.ask(query, asker, session)
        except Refused as refusal:
            return told(refusal)
        return dict, msgspec.json.decode(msgspec.json.encode(answer))

    # ---- what is stored

    async def log(self, after: int = 0) -> list[LogRow]:
        return await self.node.store.read_log(after, EVERY)

    async def versions(self, keys: Sequence[str]) -> dict[str, Version]:
        loaded = await self.node.store.load(keys)
        return {key: self.node.codec.version(key, stored) for key, stored in loaded.states.items()}

    def cached(self, keys: Sequence[str]) -> dict[str, Version]:
        found = {key: self.node.cache.get(key) for key in keys}
        return {key: version for key, version in found.items() if version}

    # ---- clients

    async def listen(self, sessions: Mapping[str, Sequence[str]]) -> None:
        """Everybody who can and does not yet, each in the oldest session."""
        for account in sessions.keys() - self.clients.keys():
            session = sessions[account][0]
            listener = Listener(self.node, account, session)
            await listener.greeted()
            self.clients[account] = Client(listener, session)

    def is_due(self, events: Sequence[tuple[LogRow, set[str]]]) -> None:
        """Each for the accounts beside it."""
        for row, audience in events:
            for account in audience & self.clients.keys():
                self.clients[account].due[row.stream.partition(":")[2]].append(row.event)

    async def check(self, sessions: Mapping[str, Sequence[str]]) -> None:
        """Everybody has heard all that was due; whose session is none of these any more was sent away."""
        await asyncio.sleep(0)
        self.node.hub.flush()
        for account, client in list(self.clients.items()):
            client.check()
            closed = client.listener.wire.closed
            assert closed == (None if client.session in sessions.get(account, ()) else 4401)
            if closed:
                await self.clients.pop(account).listener.leave()

    async def send_away(self) -> None:
        for client in self.clients.values():
            await client.listener.leave()
        self.clients = {}


def told(outcome: Outcome) -> Told:
    """What is told apart: an acknowledgement from the same one given again, and one refusal from another."""
    if isinstance(outcome, Refused):
        return Refused, (outcome.code, outcome.field, outcome.detail)
    return (Again if isinstance(outcome, Again) else bytes), bytes(outcome)
