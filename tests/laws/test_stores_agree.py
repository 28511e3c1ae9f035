"""Whatever people do, every store tells the same story: a node on the memory store and one on a store that lasts, which
is restarted now and then and has next to no cache, agree with each other, with the rules alone, and with a plain model.

CHAT_TEST_STORIES says how many stories are lived on SQLite; 100 without. On PostgreSQL it is a quarter of them.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, assert_never

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chat.application.codec import encode
from chat.application.ports import Store
from chat.domain.accounts import ListAccounts
from chat.domain.log import LogRow
from chat.domain.messages import ListMessages, SearchMessages
from chat.domain.rooms import BrowseRooms, ListMembers, ListRooms
from chat.domain.vocabulary import Command, Query
from chat.infra.stores.memory import Memory, MemoryStore
from chat.infra.stores.postgres import PostgresStore
from chat.infra.stores.sqlite import SqliteStore
from tests.inside import Listener
from tests.laws.history import erased
from tests.laws.model import Model, follow
from tests.laws.reference import Reference
from tests.laws.side import Carried, Clock, Side
from tests.laws.world import begin, message
from tests.logic.given import TABLES
from tests.servers.postgres import shared

STORIES: Final = int(os.environ.get("CHAT_TEST_STORIES", "100"))
QUERIES: Final[Sequence[type[Query]]] = sorted(TABLES.queries, key=lambda kind: kind.__name__)
NO_CACHE: Final = 0
A_FEW: Final = 6 * 1_024  # bytes: that many states
LAST: Final = (b'{"type":"caught_up"', b'{"type":"reset"')  # of what a resume is answered with
WORDS: Final = ["hi", "hello", "ann", "bob", "long", "nothing"]


class Turns(NamedTuple):
    """So many turns, each of a few commands."""

    seed: int
    number: int


class Repeat(NamedTuple):
    """Commands that were acknowledged are asked again, one of them with another body."""

    seed: int


class Ask(NamedTuple):
    """Every kind of question."""

    seed: int


class Restart(NamedTuple):
    """Of the side that lasts."""


class Shrink(NamedTuple):
    """Its cache to so many bytes."""

    size: int


class GoAway(NamedTuple):
    """A client keeps a page of a room, to come back with it at the end."""

    seed: int


Step = Turns | Repeat | Ask | Restart | Shrink | GoAway

seeds = st.integers(0, 2**32 - 1)
turns = st.builds(Turns, seeds, st.integers(0, 12))
incidents = st.one_of(
    st.builds(Repeat, seeds),
    st.builds(Ask, seeds),
    st.builds(Restart),
    st.builds(Shrink, st.sampled_from([NO_CACHE, A_FEW])),
    st.builds(GoAway, seeds),
)
stories = st.lists(st.one_of(turns, incidents), min_size=8, max_size=40)


class Away(NamedTuple):
    """What a client kept of a room when it went."""

    account: str
    room: str
    seq: int
    messages: dict[int, dict[str, Any]]


class Story:
    def __init__(self, lasting: Callable[[], Store]) -> None:
        memory = Memory()
        self.clock = Clock()
        self.memory = Side(lambda: MemoryStore(memory), self.clock)
        self.lasting = Side(lasting, self.clock)
        self.sides = (self.memory, self.lasting)
        self.model = Model()
        self.reference = Reference(self.clock)
        self.log: list[LogRow] = []  # as it was when it was written
        self.away: list[Away] = []

    async def live(self, story: Sequence[Step]) -> None:
        for side in self.sides:
            await side.open()
        try:
            for step in story:
                await self.take(step)
            await self.end()
        finally:
            for side in self.sides:
                await side.close()

    async def take(self, step: Step) -> None:
        match step:
            case Turns(seed, number):
                chance = Random(seed)
                for _ in range(number):
                    await self.turn(self.reference.batch(chance))
            case Repeat(seed):
                await self.repeat(Random(seed))
            case Ask(seed):
                await self.ask(Random(seed))
            case Restart():
                await self.lasting.restart()
            case Shrink(size):
                self.lasting.node.cache.bound = size
            case GoAway(seed):
                await self.go_away(Random(seed))
            case _:
                assert_never(step)

    async def end(self) -> None:
        for side in self.sides:
            await self.states_are_those_of_the_rules(side)
        await self.lasting.restart()
        await self.ask(Random(0))
        for side in self.sides:
            await self.what_was_taken_back_is_gone(side)
            await self.states_are_those_of_the_rules(side)
            await self.answers_are_those_of_the_model(side)
            await side.send_away()
            await side.listen(self.reference.sessions)
            await self.everybody_comes_back(side)
            await self.every_cut_is_resumed(side)

    # ---- commands

    async def turn(self, batch: Sequence[Carried]) -> None:
        self.clock.hours += 1
        expected = [self.reference.carry_out(one) for one in batch]
        for side in self.sides:
            assert await side.turn(batch) == expected
        await self.news()

    async def news(self) -> None:
        """Both sides have logged the same, and have told it to whom it concerns."""
        new = await self.memory.log(after=len(self.log))
        assert new == await self.lasting.log(after=len(self.log))
        self.log += new
        heard = [(row, self.model.take(row.position, msgspec.json.decode(row.event))) for row in new]
        for side in self.sides:
            side.is_due(heard)
            await side.check(self.reference.sessions)
            await side.listen(self.reference.sessions)

    async def repeat(self, chance: Random) -> None:
        """Two at once are one."""
        if not self.reference.acknowledged:
            return
        before = len(self.log)
        one, other = chance.choice(self.reference.acknowledged), chance.choice(self.reference.acknowledged)
        another_body = other._replace(command=replace(other.command, id=one.command.id), actor=one.actor)
        await self.turn([one, another_body, one])
        assert len(self.log) == before

    # ---- questions

    async def ask(self, chance: Random) -> None:
        for kind in QUERIES:
            scene = begin(chance, self.reference.seen, kind)
            query: Query = message(chance, scene)
            answers = [await side.ask(query, scene.actor) for side in self.sides]
            assert answers[0] == answers[1], query

    async def answers_are_those_of_the_model(self, side: Side) -> None:
        for asker in self.model.active:
            assert await side.ask(ListRooms(), asker) == (dict, self.model.list_rooms(asker))
            assert await side.ask(ListAccounts(), asker) == (dict, self.model.list_accounts())
            assert await side.ask(BrowseRooms(), asker) == (dict, self.model.browse_rooms(asker))
            for word in WORDS:
                found = await side.ask(SearchMessages(text=word, limit=5), asker)
                assert found == (dict, self.model.search_messages(asker, word, 5)), word
            for room in self.model.readers[asker]:
                await self.pages_are_those_of_the_model(side, asker, room)

    async def pages_are_those_of_the_model(self, side: Side, asker: str, room: str) -> None:
        assert await side.ask(ListMembers(room=room), asker) == (dict, self.model.list_members(room))
        for before, after in ((None, None), (9, None), (None, 5)):
            page = await side.ask(ListMessages(room=room, limit=4, before=before, after=after), asker)
            assert page == (dict, self.model.list_messages(room, limit=4, before=before, after=after))

    # ---- what is stored

    async def what_was_taken_back_is_gone(self, side: Side) -> None:
        events = [encode(record.event) for record in erased(self.reference.recorded)]
        assert [row.event for row in await side.log()] == events

    async def states_are_those_of_the_rules(self, side: Side) -> None:
        versions = dict(self.reference.world.versions)
        assert await side.versions(list(versions)) == versions
        cached = side.cached(list(versions))
        assert cached == {key: versions[key] for key in cached}

    # ---- coming back

    async def go_away(self, chance: Random) -> None:
        places = [(account, room) for account in self.model.active for room in self.model.readers[account]]
        if places:
            account, room = chance.choice(places)
            seq = self.model.rooms[room].seq
            self.away.append(Away(account, room, seq, await self.page(self.memory, account, room)))

    async def page(self, side: Side, account: str, room: str) -> dict[int, dict[str, Any]]:
        kind, page = await side.ask(ListMessages(room=room, limit=100), account)
        assert kind is dict
        assert not page["more"]
        return {row["seq"]: row for row in page["messages"]}

    async def everybody_comes_back(self, side: Side) -> None:
        """With the page from then and the events since, a client shows the page of now."""
        for account, room, seq, messages in self.away:
            if account in side.clients:
                events, last = await resumed(side, side.clients[account].listener, room, seq)
                if room not in self.model.readers[account]:
                    assert last["reason"] == "not_found"
                    continue
                assert last["type"] == "caught_up"
                shown = {seq: msgspec.json.decode(msgspec.json.encode(row)) for seq, row in messages.items()}
                for event in events:
                    follow(shown, msgspec.json.decode(event))
                assert shown == await self.page(side, account, room)

    async def every_cut_is_resumed(self, side: Side) -> None:
        for account, client in side.clients.items():
            for room in sorted(self.model.readers[account])[:1]:
                log = [row.event for row in await side.log() if row.stream == f"room:{room}"]
                for seq in [-1, *range(0, len(log), 1 + len(log) // 40), len(log), len(log) + 1]:
                    events, last = await resumed(side, client.listener, room, seq)
                    assert events == log[max(seq, 0) :]
                    assert last["type"] == ("caught_up" if seq <= len(log) else "reset")


async def resumed(side: Side, listener: Listener, room: str, seq: int) -> tuple[list[bytes], dict[str, Any]]:
    """What is told of a room when somebody comes back who has seen so much of it, and what ends it. Nothing happens
    meanwhile, so that hello can be said anew."""
    heard = listener.wire.heard
    before = len(heard)
    listener.say("resume", epoch=side.node.epoch, rooms={room: seq})
    await listener.until(
        lambda: len(heard) > before and heard[-1].startswith((b'{"type":"caught_up"', b'{"type":"reset"'))
    )
    *events, last = heard[before:]
    return events, msgspec.json.decode(last)


class Patience:
    """To find the shortest story that fails takes long: after a minute the shortest so far will do."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.until = inf

    def is_over_for(self, story: Sequence[Step]) -> bool:
        return time.monotonic() > self.until and repr(story) not in self.failed

    def remember(self, story: Sequence[Step]) -> None:
        self.failed.add(repr(story))
        self.until = min(self.until, time.monotonic() + 60)


PATIENCE: Final = {"sqlite": Patience(), "postgresql": Patience()}


def lasting_in(kind: str, folder: Path) -> Callable[[], Store]:
    """The same again and again."""
    if kind == "sqlite":
        return lambda: SqliteStore(folder / "chat.db")
    url = shared().new_database()
    return lambda: PostgresStore(url)


async def live(story: Sequence[Step], kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await Story(lasting_in(kind, Path(folder))).live(story)


def is_told_alike(story: Sequence[Step], kind: str) -> None:
    patience = PATIENCE[kind]
    if patience.is_over_for(story):
        return
    try:
        asyncio.run(live(story, kind))
    except Exception:
        patience.remember(story)
        raise


TOLD: Final = settings(
    max_examples=STORIES,
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@TOLD
@given(stories)
def test_the_same_story_is_told_by_memory_and_sqlite(story: list[Step]) -> None:
    is_told_alike(story, "sqlite")


@pytest.mark.requires("postgresql")
@settings(TOLD, max_examples=max(1, STORIES // 4))
@given(stories)
def test_the_same_story_is_told_by_memory_and_postgresql(story: list[Step]) -> None:
    is_told_alike(story, "postgresql")


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.requires("postgresql"))])
async def test_every_command_asked_again_changes_nothing_and_gets_the_first_answer(tmp_path: Path, kind: str) -> None:
    """Every command in the tables, at once, later, with another body, and after a restart."""
    story = Story(lasting_in(kind, tmp_path))
    for side in story.sides:
        await side.open()
    chance = Random(1)
    kinds: set[type[Command]] = set()
    while kinds != set(TABLES.commands):
        await story.turn(story.reference.batch(chance))
        for one in [one for one in story.reference.acknowledged if type(one.command) not in kinds]:
            kinds.add(type(one.command))
            before = len(story.log)
            await story.turn([one, one])
            if len(kinds) % 10 == 0:
                await story.lasting.restart()
            other = chance.choice(story.reference.acknowledged)
            await story.turn([other._replace(command=replace(other.command, id=one.command.id), actor=one.actor)])
            assert len(story.log) == before
    for side in story.sides:
        await side.close()
