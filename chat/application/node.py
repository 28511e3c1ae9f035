"""A node: one running process of the chat, as its doors see it.

Commands go to the turns, questions to the reading, and everybody who is connected stands in the hub. `start` and
`run` bring it up, `drain` takes it down: no new command, the turns in flight end and are answered, and every socket
is told when to come back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from chat.application import ports
from chat.application.allowances import Allowances, Tries
from chat.application.cache import Cache
from chat.application.codec import FORMAT, Codec, encode
from chat.application.counts import Counts, counting_failures, watch_lag
from chat.application.cursor import Cursor
from chat.application.doorbell import Doorbell
from chat.application.follower import UNFINISHED, Follower, Outdated
from chat.application.forms import FORMS, SLOW, Forms, Opened, is_proved, whose_password
from chat.application.health import Health
from chat.application.presence import Presence
from chat.application.publisher import Publisher
from chat.application.queue import Again, Outcome, Waiting
from chat.application.reading import Reading
from chat.application.settings import Settings
from chat.application.sweep import sweep
from chat.application.turn import Turns
from chat.domain.accounts import Server
from chat.domain.errors import Refused, Unusable
from chat.domain.vocabulary import Command, Query
from chat.logic.keys import SERVER
from chat.logic.mediator import Tables
from chat.logic.websocket import RESTARTING, come_back_in

NOT_YET: Final = frozenset({"not_found", "not_a_member", "forbidden", "unauthenticated"})  # and perhaps by now
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
        self.broker = broker
        self.draining = False
        self.setup = ""  # the hash that the first account has to bring, where one is asked for
        self.counts = Counts()
        self.codec = Codec(tables)
        self.cache = Cache(tables, self.codec)
        self.cursor = Cursor(self.cache, hub)
        self.reading = Reading(tables, self.cache, self.cursor, store, clock, self._knowledge)
        self.presence = Presence(ids.fresh(), hub, broker, clock, self.reading)
        self.doorbell = Doorbell(broker, self.cursor, self.codec, self.presence)
        self.follower = Follower(self.cursor, self.codec, store, hub, clock, lambda: broker.is_away, ids.fresh)
        self.turns = Turns(
            tables,
            self.codec,
            self.cache,
            self.cursor,
            self.follower,
            store,
            self.doorbell.ring,
            clock,
            self._policy,
            self.counts,
        )
        self.publisher = Publisher(store, broker, self.cursor, self.reading, self.codec, clock)
        self.health = Health(self.turns, self.follower, store, clock)
        self.forms = Forms(self.reading, passwords, tokens, ids)
        self.allowances = Allowances(settings.rate, clock)

    @property
    def epoch(self) -> str:
        return self.cursor.epoch

    def _policy(self) -> dict[str, Any]:
        return {"registration": self.settings.registration, "setup": self.setup}

    def _knowledge(self) -> dict[str, Any]:
        return {"online": self.presence.seen.keys(), **self._policy()}

    # ---- life

    async def start(self, *, unfinished: bool = False) -> None:
        """Open the store and stand at the end of its log; one that is being copied into only if that is said. Raises
        `Unusable`.
        """
        info = await self.store.open(self.ids.fresh(), FORMAT)
        if info.epoch.startswith(UNFINISHED) and not unfinished:
            raise Unusable("A copy into this database was not finished: start `copy` again.")
        self.cursor.jump(info)

    async def needs_owner(self) -> bool:
        server = await self.reading.consult(lambda context: context.look(SERVER, Server))
        return not server.accounts

    def ask_for_setup(self) -> str:
        """From now on the first account has to bring this secret. All nodes on one log ask for the same one: its epoch
        is told to nobody before there is an account, and the database's address to nobody at all.
        """
        secret, self.setup = self.tokens.derive(f"{self.epoch} {self.settings.database}")
        return secret

    async def run(self, door: ports.Listener | None = None) -> None:
        """Everything that goes on by itself, until cancelled or until a newer version has taken over. `door` is the
        broker's, if it is to be listened to."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_outdated(self.turns.run))
                tasks.create_task(self._until_outdated(self.follower.run))
                tasks.create_task(self.health.probe())
                tasks.create_task(self.presence.run())
                tasks.create_task(sweep(self.hub, self.reading))
                tasks.create_task(watch_lag(self.counts.lags))
                if door:
                    tasks.create_task(self.broker.run(door))
                    tasks.create_task(self.publisher.run())
        except* Outdated:
            log.error("a newer version has taken over the log: this node goes; start that version instead")

    async def _until_outdated(self, run: Callable[[], Awaitable[None]]) -> None:
        """From then on nothing new is taken, and the turns refuse what waits."""
        try:
            await run()
        except Outdated:
            self.draining = True
            await self.turns.idle()
            raise

    async def drain(self, within: float) -> None:
        """Answer what is under way, then send everybody away in waves, with a moment to come back at."""
        self.draining = True
        try:
            async with asyncio.timeout(within):
                await self.turns.idle()
        except TimeoutError:
            log.warning("not everything was answered in time")
        self.hub.flush()
        self.presence.leave()
        sockets = list(self.hub.sockets())
        for start in range(0, len(sockets), WAVE):
            for index, socket in enumerate(sockets[start : start + WAVE], start):
                socket.hang_up(RESTARTING, str(come_back_in(index, len(sockets))))
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.passwords.close()
        await self.store.close()

    async def ready(self) -> dict[str, str]:
        """Raises `Refused` `unavailable` when this node should get no traffic."""
        if self.draining:
            raise Refused("unavailable", "This node is shutting down.", retry_after=1.0)
        await self.health.check()
        return {"store": "ok", "broker": "away" if self.broker.is_away else "ok"}

    # ---- wishes and questions

    def submit(self, waiting: Waiting) -> None:
        """Queue a command; its reply comes later. Raises `Refused` when it is too fast, or too much waits."""
        try:
            self._admit(waiting)
        except Refused as refusal:
            self.counts.commands[type(waiting.command), refusal.code] += 1
            raise

    def _admit(self, waiting: Waiting) -> None:
        if self.draining:
            raise Refused("unavailable", "This node is shutting down: ask again with the same id.", retry_after=1.0)
        self.allowances.commands.spend(waiting.actor)
        self.turns.submit(waiting)

    async def open_form(self, form: Command, actor: str, address: str = "") -> Opened:
        """A command without secrets made of a form with them. `address` is the asker's, where there is one. Raises
        `Refused`.
        """
        with counting_failures(self.counts.commands, type(form)):
            whose, tries = whose_password(form, actor), self.allowances.tries
            if whose and tries is not None:
                return await self._try_password(tries, form, actor, whose, address or actor)
            if type(form) in SLOW:
                self.allowances.hashes.spend(address or actor)
            return await self._open(form, actor, address or actor)

    async def _open(self, form: Command, actor: str, line: str) -> Opened:
        if type(form) not in SLOW:
            return await self.forms.by_form[type(form)](form, actor)
        async with self.allowances.hashing.of(line):
            return await self.forms.by_form[type(form)](form, actor)

    async def _try_password(self, tries: Tries, form: Command, actor: str, whose: str, place: str) -> Opened:
        take_back = tries.spend(whose, place)
        try:
            opened = await self._open(form, actor, tries.line(whose, place))
        except Refused as refusal:
            if refusal.code != "wrong_credentials":
                take_back()
            raise
        if is_proved(opened):
            take_back()
            tries.prove(whose, place)
        return opened

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

    async def do(self, command: Command, actor: str, session: str, address: str = "") -> bytes:
        """The acknowledgement of a command, or of a form with secrets. Raises `Refused`."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def reply(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        is_form = type(command) in FORMS
        opened = await self.open_form(command, actor, address) if is_form else self.opened(command, actor)
        self.submit_opened(opened, session, reply)
        outcome = await future
        if isinstance(outcome, Refused):
            raise outcome.afresh()
        return outcome

    async def ask(self, query: Query, actor: str = "", session: str = "") -> Any:
        """The answer, ready to be encoded. Raises `Refused`."""
        with counting_failures(self.counts.queries, type(query)):
            if actor:
                self.allowances.asking.spend(actor)
            answer = await self._answer(query, actor, session)
        self.counts.queries[type(query), "answer"] += 1
        return answer

    async def _answer(self, query: Query, actor: str, session: str) -> Any:
        """What this node does not know of yet, another may have done a moment ago for the same asker."""
        position = self.cursor.position
        try:
            return await self.reading.answer(query, actor, session)
        except Refused as refusal:
            if refusal.code not in NOT_YET:
                raise
            await self.follower.keep_up()
            if self.cursor.position == position:
                raise
        return await self.reading.answer(query, actor, session)
