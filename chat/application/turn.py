"""The turn: decide all that has arrived, commit it once, tell it once.

    take      the waiting commands, round robin over accounts
    begin     the writer's lock; the tail after the cursor, who was answered before, the states that are not at hand
    decide    each command on the states that the one before it left; purely, on the event loop
    commit    events, states, words, lists and answers, durably
    tell      and only then: this node's sockets, the senders, the other nodes

While one turn commits, the next one gathers: under load a turn holds hundreds of commands, and all but the deciding
is paid once for all of them. A refused command leaves nothing. A store that does not answer leaves the outcome
unknown: its senders are told `unavailable` and ask again with the same id.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from msgspec.structs import replace

from chat.application.cache import Cache
from chat.application.codec import Codec
from chat.application.counts import Counts
from chat.application.cursor import Cursor, Gap
from chat.application.follower import Follower, Outdated
from chat.application.ports import Clock, Store
from chat.application.queue import Again, Outcome, Queue, Waiting
from chat.application.writes import Turned, erased, writes_of
from chat.domain.errors import Poisoned, Refused, StoreError, Unavailable
from chat.domain.log import Begun, Entry
from chat.logic.acknowledge import acknowledge
from chat.logic.keys import account_key
from chat.logic.mediator import NOWHERE, Context, Draft, Missing, New, Tables, decide

BATCH: Final = 512  # commands of one turn
EVENTS: Final = 10_000  # of one turn, after which it decides nothing more; one command leads to 1,000 at most
PAUSES: Final = 3  # of the loop after a turn: answers go out, what came meanwhile is read, and is in the next one
ROUNDS: Final = 8  # of loading what deciding turned out to need
UNKNOWN: Final = Refused("unavailable", retry_after=1.0)

log = structlog.get_logger(__name__)


class Turns:
    """The only writer of this node. Everything that it needs to know is handed to it."""

    def __init__(
        self,
        tables: Tables,
        codec: Codec,
        cache: Cache,
        cursor: Cursor,
        follower: Follower,
        store: Store,
        ring: Callable[[Sequence[Entry]], None],
        clock: Clock,
        policy: Callable[[], dict[str, Any]],
        counts: Counts,
    ) -> None:
        self.queue = Queue()
        self._tables = tables
        self._codec = codec
        self._cache = cache
        self._cursor = cursor
        self._follower = follower
        self._store = store
        self._ring = ring
        self._clock = clock
        self._policy = policy
        self._counts = counts
        self.in_trouble = False  # the store did not take the last one
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, waiting: Waiting) -> None:
        """Raises `Refused` `busy` when too much is waiting."""
        self.queue.put(waiting)
        self._idle.clear()

    async def idle(self) -> None:
        """Wait until nothing waits or is under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Turn after turn, until cancelled. Raises `Outdated`, and leaves nobody waiting then."""
        try:
            while True:
                await self.turn(await self.queue.take(BATCH))
                for _ in range(PAUSES):
                    await asyncio.sleep(0)
                if not len(self.queue):
                    self._idle.set()
        except Outdated:
            while len(self.queue):
                self._refuse(await self.queue.take(BATCH))
            self._idle.set()
            raise

    async def turn(self, batch: Sequence[Waiting]) -> None:
        """Carry out these commands and tell everybody concerned; every sender gets one reply. Commands that lead to
        very many events are committed in parts. Raises `Outdated`.
        """
        while batch:
            self._counts.turns += 1
            try:
                outcomes = await self._carry_out(batch)
            except Poisoned as error:
                self._cache.clear()  # what was decided on may be what is wrong
                await self._one_by_one(batch, error)
                return
            except Unavailable as error:
                if not self.in_trouble:
                    log.warning("store unavailable", error=str(error), commands=len(batch))
                outcomes = [UNKNOWN] * len(batch)
                self.in_trouble = True
                self._cursor.behind.set()  # whether the turn is in the log is not known
            except Outdated:
                self._refuse(batch)
                raise
            self._counts.batches.observe(len(outcomes))
            for waiting, outcome in zip(batch, outcomes, strict=False):
                self._reply(waiting, outcome)
            batch = batch[len(outcomes) :]

    def _refuse(self, batch: Sequence[Waiting]) -> None:
        for waiting in batch:
            self._reply(waiting, UNKNOWN)

    async def _one_by_one(self, batch: Sequence[Waiting], error: Poisoned) -> None:
        """What breaks a turn, or is rejected by the store, is found by itself; the rest does not suffer."""
        if len(batch) > 1:
            for index, waiting in enumerate(batch):
                try:
                    await self.turn([waiting])
                except Outdated:
                    self._refuse(batch[index + 1 :])
                    raise
        else:
            log.error("a command breaks its turn", kind=type(batch[0].command).__name__, error=str(error))
            self._reply(batch[0], Refused("internal"))

    def _reply(self, waiting: Waiting, outcome: Outcome) -> None:
        """Whoever cannot be told has to ask again; that is nobody else's trouble."""
        self._counts.commands[type(waiting.command), _word(outcome)] += 1
        try:
            waiting.reply(outcome)
        except Exception:
            log.exception("a reply broke", kind=type(waiting.command).__name__)

    async def _carry_out(self, batch: Sequence[Waiting]) -> list[Outcome]:
        with self._cache.in_use():
            return await self._decide_and_commit(batch)

    async def _decide_and_commit(self, batch: Sequence[Waiting]) -> list[Outcome]:
        try:
            begun = await self._begin(batch)
            turned, outcomes = await self._decide(batch, begun)
            if not turned.answers:
                await self._store.abandon()
                return outcomes
            erasures = await erased(self._store, self._codec, turned)
            writes = writes_of(turned, erasures, self._cache)
        except BaseException as error:
            await self._store.abandon()
            if isinstance(error, Gap):  # the cursor was sent elsewhere meanwhile
                raise Unavailable("another log is followed now") from error
            if isinstance(error, Exception) and not isinstance(error, StoreError | Outdated):
                log.exception("a turn broke", commands=len(batch))
                raise Poisoned(type(error).__name__) from error
            raise
        started = self._clock.seconds()
        await self._store.commit(writes)
        self._counts.commits.observe(self._clock.seconds() - started)
        self._is_well()
        self._settle(turned)
        return outcomes

    async def _begin(self, batch: Sequence[Waiting]) -> Begun:
        """Under the lock, with the cursor at the head of the log."""
        asked = [(waiting.actor, waiting.command.id) for waiting in batch if waiting.command.id]
        keys = self._cold(batch)
        while True:
            begun = await self._store.begin(self._cursor.position, asked, keys)
            try:
                self._follower.must_be_followed(begun.info)
                self._cursor.take_in([self._codec.entry(row) for row in begun.tail])
            except BaseException:
                await self._store.abandon()
                raise
            if self._cursor.position == begun.info.head:
                self._cache.admit(begun.loaded)
                return begun
            await self._store.abandon()
            await self._follower.catch_up()

    def _cold(self, batch: Sequence[Waiting]) -> list[str]:
        """The states that these commands are decided on, where they are not at hand."""
        wanted: dict[str, None] = {}
        for waiting in batch:
            key_of, _ = self._tables.commands[type(waiting.command)]
            context = replace(NOWHERE, actor=waiting.actor, fresh=waiting.fresh)
            wanted |= dict.fromkeys((key_of(waiting.command, context), account_key(waiting.actor)))
        return [key for key in wanted if not isinstance(key, New) and self._cache.get(key) is None]

    async def probe(self) -> None:
        """After trouble: does the store take writes again? Raises `Unavailable`."""
        await self._store.probe()
        self._is_well()

    def _is_well(self) -> None:
        if self.in_trouble:
            self.in_trouble = False
            log.info("the store takes turns again")

    async def _decide(self, batch: Sequence[Waiting], begun: Begun) -> tuple[Turned, list[Outcome]]:
        """Decide the whole batch; what is missing is loaded for all of it at once, and all is decided again."""
        for _ in range(ROUNDS):
            turned = Turned(Draft(self._cache), begun.info.head)
            missing: set[str] = set()
            outcomes = self._decide_all(batch, begun, turned, missing)
            if not missing:
                return turned, outcomes
            self._cache.admit(await self._store.load_locked(sorted(missing)))
        log.error("states are still missing", rounds=ROUNDS, keys=sorted(missing)[:5])
        return turned, outcomes

    def _decide_all(self, batch: Sequence[Waiting], begun: Begun, turned: Turned, missing: set[str]) -> list[Outcome]:
        """The outcomes of all, or of as many as one turn can hold."""
        base = Context(states=turned.draft, now=self._clock.now(), **self._policy())
        answered = dict(begun.answered)
        outcomes: list[Outcome] = []
        for waiting in batch:
            if len(turned.entries) >= EVENTS:
                break
            asked = (waiting.actor, waiting.command.id)
            if first := answered.get(asked):
                outcomes.append(Again(first))
                continue
            try:
                outcome = self._decide_one(waiting, turned, base)
            except Missing as stopped:
                missing.update(stopped.keys)
                outcome = Refused("internal")  # unless a later round finds what it needs
            if isinstance(outcome, bytes):
                answered[asked] = outcome
            outcomes.append(outcome)
        return outcomes

    def _decide_one(self, waiting: Waiting, turned: Turned, base: Context) -> Outcome:
        """Raises `Missing`. A rule that breaks refuses its own command and nobody else's."""
        command, actor, draft = waiting.command, waiting.actor, Draft(turned.draft)
        context = replace(base, states=draft, actor=actor, session=waiting.session, fresh=waiting.fresh)
        try:
            state, records = decide(self._tables, command, context)
        except Refused as refusal:
            return refusal.afresh()
        except Missing:
            raise
        except Exception:
            log.exception("a rule broke", kind=type(command).__name__)
            return Refused("internal")
        outcome = acknowledge(command, state, records)
        turned.add(draft, records)
        turned.answer(actor, command.id, outcome)
        return outcome

    def _settle(self, turned: Turned) -> None:
        """The turn is in the log: now, and only now, anybody may hear of it."""
        entries: list[Entry] = turned.entries
        self._cursor.take_in(entries, turned.draft.changed)
        for entry in entries:
            self._cache.grown(entry.record.stream, len(entry.encoded))
        for row in turned.written:
            self._cache.written(row.key, row.seq, len(row.state))
        self._ring(entries)


def _word(outcome: Outcome) -> str:
    """What a monitor calls it."""
    if isinstance(outcome, Refused):
        return outcome.code
    return "again" if isinstance(outcome, Again) else "ack"
