"""The stream for other programs: every event of public and private rooms, at least once and in the log's order.

One node at a time leads and publishes, from a position that the store keeps. It moves behind what the broker has
confirmed without a gap, a little later, so that whoever leads next begins a little before where this one ended, never
behind it. A node that has lost the broker lets another lead.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from chat.application.codec import Codec
from chat.application.cursor import Cursor
from chat.application.ports import Broker, Clock, Store
from chat.application.reading import Reading
from chat.domain.errors import Refused, StoreError
from chat.domain.log import Entry
from chat.domain.programs import Publication
from chat.domain.rooms import Room
from chat.domain.vocabulary import RoomEvent
from chat.logic.doors import UNREADABLE
from chat.logic.publishing import publication

SLICE: Final = 200  # events that are published at once, between turns; fewer where the store is slow
GATHER: Final = 0.02  # seconds for which events are gathered when few come
FRESH: Final = 0.5  # seconds for which what was read is published
ASK: Final = 1.0  # seconds after which a leader asks whether it still leads, and the others whether they may

log = structlog.get_logger(__name__)


class Publisher:
    def __init__(
        self, store: Store, broker: Broker, cursor: Cursor, reading: Reading, codec: Codec, clock: Clock
    ) -> None:
        self._store = store
        self._broker = broker
        self._cursor = cursor
        self._reading = reading
        self._codec = codec
        self._clock = clock
        self._leads = False
        self._position = 0  # up to which everything is with the broker
        self._marked = 0  # the same, as the store knows it
        self._slice = SLICE

    async def run(self) -> None:
        """Until cancelled; then another may lead at once."""
        try:
            while True:
                try:
                    await self._take_part()
                except (StoreError, Refused):
                    pass  # what is not published is tried again
                except UNREADABLE:  # of a newer version, or damaged: looking at the log tells
                    self._cursor.behind.set()
                await asyncio.sleep(ASK)
        finally:
            await self._resign()

    async def _take_part(self) -> None:
        if self._broker.is_away:
            await self._resign()
        elif (position := await self._store.lead()) is None:
            self._leads = False
        else:
            if not self._leads:
                log.info("publishing events", after=position)
            self._leads = True
            self._position = self._marked = await self._beginning(position)
            await self._lead()

    async def _beginning(self, position: int) -> int:
        """What is published already lies beyond the log only if an older one was put in its place: all that was added
        to that is new.
        """
        try:
            await self._cursor.reach_written(position)
        except StoreError:
            return min(position, self._cursor.landed)
        return position

    async def _resign(self) -> None:
        with suppress(StoreError):
            await self._mark()
        await self._store.resign()
        self._leads = False

    async def _lead(self) -> None:
        """For as long as that is asked for and the broker takes what is published. Raises what the store does."""
        is_taken, jumps = True, self._cursor.jumps
        while is_taken and await self._store.lead() is not None and jumps == self._cursor.jumps:
            ask_at = self._clock.seconds() + ASK
            while is_taken and self._clock.seconds() < ask_at:
                is_taken = await self._publish_some()
            await self._mark()

    async def _mark(self) -> None:
        if self._position > self._marked:
            await self._store.mark_published(self._position)
            self._marked = self._position

    async def _publish_some(self) -> bool:
        """Whether the broker took all that this node knows: a room that it has not heard of is no direct one yet."""
        known, read_at = self._cursor.position, self._clock.seconds()
        found = await self._store.read_log(self._position, self._slice)
        rows = [row for row in found if row.position <= known]
        if len(rows) < len(found):
            self._cursor.behind.set()
        publications = await self._public([self._codec.entry(row) for row in rows])
        is_stale = self._clock.seconds() - read_at > FRESH  # this node stood still, or reads slowly
        if is_stale and self._slice > 1:
            self._slice //= 2  # and again: what was taken back meanwhile is read so
            return True
        safe = await self._broker.publish(publications) if publications else 0
        if safe < len(publications):
            self._position = publications[safe].position - 1
            return False
        if rows:
            self._position = rows[-1].position
        if len(rows) < self._slice:
            await self._gather()
        self._slice = min(SLICE, 2 * self._slice)
        return True

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK):
                await self._cursor.reach(self._position + 1)
        await asyncio.sleep(GATHER)

    async def _public(self, entries: list[Entry]) -> list[Publication]:
        """Raises `Refused` `unavailable`."""
        of_rooms = [entry for entry in entries if isinstance(entry.record.event, RoomEvent)]
        names = dict.fromkeys(entry.record.stream for entry in of_rooms)
        states = await self._reading.consult(lambda context: context.look_all(list(names), Room))
        rooms = dict(zip(names, states, strict=True))
        found = (publication(entry, rooms[entry.record.stream]) for entry in of_rooms)
        return [each for each in found if each]
