"""Two nodes on one store are one chat: whoever carries a command out, the rules alone would have done the same, and on
either node everybody hears all that is for them, once and in order, however far one lags behind the other.
"""

import asyncio
import os
from random import Random
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.messages import ListMessages
from chat.domain.rooms import ListMembers, ListRooms
from chat.infra.stores.memory import Memory, MemoryStore
from tests.laws.history import seeds
from tests.laws.model import Model
from tests.laws.reference import Reference
from tests.laws.side import Clock, Side

STORIES: Final = int(os.environ.get("CHAT_TEST_STORIES", "40"))
FEW_BYTES: Final = 6 * 1_024


class Pair:
    def __init__(self, chance: Random) -> None:
        memory = Memory()
        self.chance = chance
        self.clock = Clock()
        self.sides = [Side(lambda: MemoryStore(memory), self.clock) for _ in range(2)]
        self.reference = Reference(self.clock)
        self.model = Model()
        self.logged = 0

    async def live(self, turns: int) -> None:
        for side in self.sides:
            await side.open()
        self.sides[1].node.cache.bound = FEW_BYTES
        for _ in range(turns):
            await self.turn(self.chance.choice(self.sides))
            if not self.chance.randrange(3):
                await self.catch_up(self.chance.choice(self.sides))
        for side in self.sides:
            await self.catch_up(side)
            await self.agrees(side)
            await side.close()

    async def turn(self, side: Side) -> None:
        """It takes in first what the other has done, and then does it better."""
        self.clock.hours += 1
        batch = self.reference.batch(self.chance)
        expected = [self.reference.carry_out(one) for one in batch]
        assert await side.turn(batch) == expected
        await self.news(side)

    async def news(self, side: Side) -> None:
        """The one that carried it out has told it; the other will."""
        rows = await side.log(after=self.logged)
        self.logged += len(rows)
        heard = [(row, self.model.take(row.position, msgspec.json.decode(row.event))) for row in rows]
        for each in self.sides:
            each.is_due(heard)
        await self.catch_up(side)

    async def catch_up(self, side: Side) -> None:
        await side.node.turns.catch_up()
        await side.check(self.reference.sessions)
        await side.listen(self.reference.sessions)

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
    asyncio.run(Pair(Random(seed)).live(turns))
