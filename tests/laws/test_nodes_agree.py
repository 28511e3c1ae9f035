"""Nodes on one store are one chat: whoever carries a command out, the rules alone would have done the same, and on
every node everybody hears all that is for them, once and in order, however far one lags behind another, whenever the
store leaves one in doubt, and whatever the broker loses, repeats and shuffles.
"""

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.errors import Refused
from chat.domain.messages import ListMessages
from chat.domain.rooms import ListMembers, ListRooms
from chat.infra.stores.memory import Memory, MemoryStore
from tests.application.fakes import FakeBroker
from tests.faults.failing import STEPS, Failing, go_on
from tests.laws.history import seeds
from tests.laws.model import Model
from tests.laws.reference import Reference
from tests.laws.side import Carried, Clock, Side, told

STORIES: Final = int(os.environ.get("CHAT_TEST_STORIES", "100"))
FEW_BYTES: Final = 6 * 1_024


def _same(store: Failing) -> Failing:
    return store


class Together:
    def __init__(self, chance: Random, number: int = 2) -> None:
        memory = Memory()
        self.chance = chance
        self.clock = Clock()
        self.stores = [Failing(MemoryStore(memory)) for _ in range(number)]
        self.brokers = [FakeBroker() for _ in range(number)]
        self.sides = [
            Side(partial(_same, store), self.clock, broker)
            for store, broker in zip(self.stores, self.brokers, strict=True)
        ]
        self.reference = Reference(self.clock)
        self.model = Model()
        self.logged = 0

    async def live(self, turns: int) -> None:
        for side in self.sides:
            await side.open()
        self.sides[1].node.cache.bound = FEW_BYTES
        for _ in range(turns):
            number = self.chance.randrange(len(self.sides))
            if self.chance.randrange(4):
                await self.turn(self.sides[number], self.reference.batch(self.chance))
            else:
                await self.turn_that_breaks(self.sides[number], self.stores[number])
            if not self.chance.randrange(3):
                await self.catch_up_while_asked(self.chance.choice(self.sides))
        for side in self.sides:
            await self.catch_up(side)
            await self.agrees(side)
            await side.close()

    async def turn(self, side: Side, batch: Sequence[Carried]) -> None:
        """It takes in first what the other has done."""
        self.clock.hours += 1
        expected = [self.reference.carry_out(one) for one in batch]
        assert await side.turn(batch) == expected
        await self.news(side)

    async def turn_that_breaks(self, side: Side, store: Failing) -> None:
        """Everybody in it is told that nobody knows. It happened if it was committed; asked again, on either node, it
        happens if it had not."""
        self.clock.hours += 1
        batch = self.reference.batch(self.chance)
        step = self.chance.choice(STEPS)
        undone = self.reference.copy()
        expected = [self.reference.carry_out(one) for one in batch]
        store.fail_at(step)
        outcomes = await side.turn(batch)
        if store.has_failed:
            assert outcomes == [told(Refused("unavailable"))] * len(batch)
            self.reference = self.reference if step == "after commit" else undone
        else:
            assert outcomes == expected
        store.step = go_on
        await self.turn(self.chance.choice(self.sides), batch)

    async def news(self, side: Side) -> None:
        """The one that carried it out last has told everything; the other will."""
        rows = await side.log(after=self.logged)
        self.logged += len(rows)
        heard = [(row, self.model.take(row.position, msgspec.json.decode(row.event))) for row in rows]
        for each in self.sides:
            each.is_due(heard)
        await self.catch_up(side)

    async def catch_up(self, side: Side) -> None:
        await side.node.follower.look()
        await side.check(self.reference.sessions)
        await side.listen(self.reference.sessions)

    async def catch_up_while_asked(self, side: Side) -> None:
        """What is read for a question may be ahead of the node; nothing of it is taken in twice."""
        asked = [asyncio.create_task(side.ask(ListRooms(), account)) for account in self.model.active]
        await asyncio.sleep(0)
        await self.catch_up(side)
        await asyncio.gather(*asked)  # answered of some moment between

    async def agrees(self, side: Side) -> None:
        versions = self.reference.world.versions
        cached = side.cached(list(versions))
        assert cached == {key: versions[key] for key in cached}
        for asker in self.model.active:
            assert await side.ask(ListRooms(), asker) == (dict, self.model.list_rooms(asker))
            for room in self.model.readers[asker]:
                assert await side.ask(ListMembers(room=room), asker) == (dict, self.model.list_members(room))
                page = self.model.list_messages(room, limit=9)
                assert await side.ask(ListMessages(room=room, limit=9), asker) == (dict, page)


@settings(max_examples=STORIES, deadline=None, print_blob=True, derandomize="CI" in os.environ)
@given(seeds, st.integers(0, 60))
def test_two_nodes_are_one_chat(seed: int, turns: int) -> None:
    asyncio.run(Together(Random(seed)).live(turns))


class Rung(Together):
    """They tell each other, by a broker that loses much, repeats some and hands it over in any order, at any step of a
    turn."""

    def __init__(self, chance: Random, number: int) -> None:
        super().__init__(chance, number)
        self.under_way: list[list[bytes]] = [[] for _ in self.sides]  # to each

    async def turn(self, side: Side, batch: Sequence[Carried]) -> None:
        for at, store in enumerate(self.stores):
            store.step = partial(self.hear_some, at)
        await super().turn(side, batch)
        await self.hear_some(self.chance.randrange(len(self.sides)))

    async def hear_some(self, number: int, step: str = "") -> None:
        self.take_along()
        mine = self.under_way[number]
        for _ in range(min(len(mine), self.chance.randrange(4))):
            news = mine.pop(self.chance.choice((0, 0, -1, self.chance.randrange(len(mine)))))
            self.sides[number].node.doorbell.hear(news)

    def take_along(self) -> None:
        for broker in self.brokers:
            rung, broker.rung = broker.rung, []
            for under_way in self.under_way:
                under_way += [news for news in rung for _ in range(self.chance.choice((0, 1, 1, 1, 2)))]


@settings(max_examples=STORIES, deadline=None, print_blob=True, derandomize="CI" in os.environ)
@given(seeds, st.integers(0, 40), st.integers(2, 3))
def test_nodes_that_a_bad_broker_tells_of_each_other_are_one_chat(seed: int, turns: int, number: int) -> None:
    asyncio.run(Rung(Random(seed), number).live(turns))
