"""A node: one running process of the chat, as its doors see it.

Commands go to the turns, questions to the reading, and everybody who is connected stands in the hub. `start` and
`run` bring it up, `drain` takes it down: no new command, the turns in flight end and are answered, and every socket
is told when to come back.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from chat.application import ports
from chat.application.buckets import Buckets
from chat.application.cache import Cache
from chat.application.codec import FORMAT, Codec, encode
from chat.application.cursor import Cursor
from chat.application.forms import SLOW, Forms, Opened
from chat.application.queue import Again, Outcome, Waiting
from chat.application.reading import Reading
from chat.application.settings import Settings
from chat.application.turn import Turns
from chat.domain.accounts import Server
from chat.domain.errors import Refused, StoreError
from chat.domain.frames import PresenceTold, TypingTold
from chat.domain.rooms import Room
from chat.domain.vocabulary import Command, Query
from chat.logic import presence
from chat.logic.keys import SERVER, account_key, room_key
from chat.logic.mediator import Context, Tables
from chat.logic.rates import GUESSES, Rate

POLL: Final = 5.0  # seconds between two looks at the log for what nobody told
WAVE: Final = 200  # sockets told to come back at once

log = structlog.get_logger(__name__)


class Node:
    def __init__(
        self,
        tables: Tables,
        settings: Settings,
        store: ports.Store,
        broker: ports.Broker,
        hub: ports.Hub,
        clock: ports.Clock,
        ids: ports.Ids,
        passwords: ports.Passwords,
        tokens: ports.Tokens,
    ) -> None:
        self.tables = tables
        self.settings = settings
        self.hub = hub
        self.store = store
        self.clock = clock
        self.ids = ids
        self.passwords = passwords
        self.tokens = tokens
        self.epoch = ""
        self.draining = False
        self.setup = ""  # the hash that the first account has to bring, where one is asked for
        self.codec = Codec(tables)
        self.cache = Cache(tables, self.codec)
        self.cursor = Cursor(self.cache, hub)
        self.reading = Reading(tables, self.cache, self.cursor, store, clock, self._knowledge)
        self.turns = Turns(tables, self.codec, self.cache, self.cursor, store, broker, clock, self._policy)
        self.forms = Forms(self.reading, passwords, tokens, ids)
        self._commands = Buckets(Rate(settings.rate, max(1, 2 * settings.rate)), clock)
        self._guesses = Buckets(GUESSES if settings.rate else Rate(0, 0), clock)
        self._seen: presence.Seen = {}
        self._typing: Mapping[tuple[str, str], float] = {}

    def _policy(self) -> dict[str, Any]:
        return {"registration": self.settings.registration, "setup": self.setup}

    def _knowledge(self) -> dict[str, Any]:
        return {"online": self._seen.keys(), **self._policy()}

    # ---- life

    async def start(self) -> None:
        """Open the store and stand at the end of its log. Raises `Unusable`."""
        info = await self.store.open(self.ids.fresh(), FORMAT)
        self.epoch, self.cursor.position = info.epoch, info.head

    async def needs_owner(self) -> bool:
        server = await self.reading.consult(lambda context: context.look(SERVER, Server))
        return not server.accounts

    def ask_for_setup(self) -> str:
        """From now on the first account has to bring this secret."""
        secret, self.setup = self.tokens.draw()
        return secret

    async def run(self) -> None:
        """Everything that goes on by itself, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.turns.run())
            tasks.create_task(self._poll())
            tasks.create_task(self._watch_presence())

    async def _poll(self) -> None:
        """Every POLL seconds, and at once when a turn was left in doubt."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.turns.in_doubt.wait(), POLL)
            self.turns.in_doubt.clear()
            try:
                await self.turns.catch_up()
            except StoreError as error:
                log.warning("the log cannot be read", error=str(error))

    async def drain(self, within: float) -> None:
        """Answer what is under way, then send everybody away in waves, with a moment to come back at."""
        self.draining = True
        try:
            async with asyncio.timeout(within):
                await self.turns.idle()
        except TimeoutError:
            log.warning("not everything was answered in time")
        self.hub.flush()
        sockets = list(self.hub.sockets())
        for start in range(0, len(sockets), WAVE):
            for index, socket in enumerate(sockets[start : start + WAVE]):
                socket.hang_up(1012, str(500 + (start + index) % 1_000))
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.passwords.close()
        await self.store.close()

    async def ready(self) -> dict[str, str]:
        """Raises `Refused` `unavailable` when this node should get no traffic."""
        if self.draining:
            raise Refused("unavailable", "This node is shutting down.", retry_after=1.0)
        try:
            await self.store.read_info()
        except StoreError:
            raise Refused("unavailable", "The store cannot be used.", retry_after=1.0) from None
        return {"store": "ok", "broker": "ok"}

    # ---- wishes and questions

    def submit(self, waiting: Waiting) -> None:
        """Queue a command; its reply comes later. Raises `Refused` when it is too fast, or too much waits."""
        if self.draining:
            raise Refused("unavailable", "This node is shutting down: ask again with the same id.", retry_after=1.0)
        self._commands.spend(waiting.actor)
        self.turns.submit(waiting)

    async def open_form(self, form: Command, actor: str, address: str = "") -> Opened:
        """A command without secrets made of a form with them. `address` is the asker's, where there is one. Raises
        `Refused`.
        """
        if type(form) in SLOW:
            self._guesses.spend(address or actor)
        return await self.forms.by_form[type(form)](form, actor)

    def opened(self, command: Command, actor: str) -> Opened:
        return Opened(command, actor, self.ids.fresh(), {})

    def submit_opened(self, opened: Opened, session: str, reply: Callable[[Outcome], None]) -> None:
        """What is told once is added to the acknowledgement, unless that was given before. Raises `Refused`."""

        def told(outcome: Outcome) -> None:
            if opened.told and isinstance(outcome, bytes) and not isinstance(outcome, Again):
                outcome = outcome[:-1] + (b"," if outcome != b"{}" else b"") + encode(opened.told)[1:]
            reply(outcome)

        reply_to = told if opened.told else reply
        self.submit(Waiting(opened.command, opened.actor, session, opened.fresh, reply_to))

    async def ask(self, query: Query, actor: str = "", session: str = "") -> Any:
        return await self.reading.answer(query, actor, session)

    # ---- what is not kept

    def tell_typing(self, account: str, room: str) -> None:
        """Told to the others in the room, and not too often."""
        self._typing, tell = presence.typing(self._typing, account, room, self.clock.seconds())
        if tell:
            self.hub.say_room(room, [encode(TypingTold(room, account))], but=account)

    async def _watch_presence(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.tell_presence()

    def tell_presence(self) -> None:
        """Who came and went since this was called last."""
        self._seen, online, offline = presence.tick(self._seen, self.hub.accounts, self.clock.seconds())
        for told in self._presence_told(online, offline):
            self.hub.say_room(told.room, [encode(told)])

    def _presence_told(self, online: list[str], offline: list[str]) -> list[PresenceTold]:
        """One frame for each small room in which something changed; of the states at hand, which theirs are."""
        context = self.reading.context()
        came: dict[str, list[str]] = {}
        went: dict[str, list[str]] = {}
        for accounts, rooms in ((online, came), (offline, went)):
            for account in accounts:
                for room in _small_rooms(account, context):
                    rooms.setdefault(room, []).append(account)
        return [PresenceTold(room, tuple(came.get(room, ())), tuple(went.get(room, ()))) for room in came | went]


def _small_rooms(account: str, context: Context) -> list[str]:
    version = context.states.get(account_key(account))
    rooms = getattr(version.state, "rooms", ()) if version else ()
    small = []
    for room in rooms:
        found = context.states.get(room_key(room))
        if found and isinstance(found.state, Room) and len(found.state.members) <= presence.ROOM:
            small.append(room)
    return small
