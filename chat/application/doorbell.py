"""What nodes tell each other beside the log: that it grew, mostly with the events themselves, who types, and who is
connected.

The store is the truth, so nothing here has to arrive. Events that come twice are dropped by the cursor. Those that come
too early (two nodes ring by two lines) wait for a moment; when what is before them stays away, the log is read.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Raw

from chat.application.codec import FORMAT, Codec, encode
from chat.application.cursor import SOON, Cursor
from chat.application.ports import Broker
from chat.application.presence import Presence
from chat.domain.limits import FRAME
from chat.domain.log import Entry, Recorded
from chat.domain.news import Connected, ConnectedChanged, LogGrew, News, SomebodyTypes, Told
from chat.domain.vocabulary import PrivateEvent
from chat.logic.doors import UNREADABLE

WITH_EVENTS: Final = FRAME  # bytes of events up to which they are told
EARLY: Final = 100  # turns that came too early and wait; one more, and the log is read

log = structlog.get_logger(__name__)


class Doorbell:
    def __init__(self, broker: Broker, cursor: Cursor, codec: Codec, presence: Presence) -> None:
        self._broker = broker
        self._cursor = cursor
        self._codec = codec
        self._presence = presence
        self._decoder: msgspec.json.Decoder[News] = msgspec.json.Decoder(News)
        self._is_deaf = False  # to what came last
        self._early: dict[int, tuple[str, list[Entry]]] = {}  # by the first position of each, with their log's epoch

    # ---- what is told

    def ring(self, entries: Sequence[Entry]) -> None:
        """A turn of this node is in the log."""
        if entries and self._broker.is_heard:
            first, last = entries[0].position, entries[-1].position
            self._broker.ring(encode(LogGrew(self._cursor.epoch, FORMAT, first, last, told(entries))))

    # ---- what is heard

    def missed(self) -> None:
        """Anything may have been lost."""
        self._cursor.behind.set()
        self._presence.meet()

    def hear(self, news: bytes) -> None:
        try:
            self._take(self._decoder.decode(news))
            self._is_deaf = False
        except UNREADABLE as error:  # of a newer version, most likely: looking at the log tells
            if not self._is_deaf:
                log.warning("news cannot be read", error=type(error).__name__)
            self._is_deaf = True
            self._cursor.behind.set()

    def _take(self, news: News) -> None:
        match news:
            case LogGrew():
                self._take_events(news)
            case SomebodyTypes():
                self._presence.hear_typing(news)
            case Connected():
                self._presence.hear(news)
            case ConnectedChanged():
                self._presence.hear_change(news)

    def _take_events(self, grew: LogGrew) -> None:
        is_ours = (grew.epoch, grew.format) == (self._cursor.epoch, FORMAT)
        if is_ours and grew.last <= self._cursor.position:
            return
        if not is_ours or not grew.events:
            self._cursor.behind.set()
            return
        entries = [self._entry(position, told) for position, told in enumerate(grew.events, grew.first)]
        if grew.first <= self._cursor.position + 1:
            self._cursor.take_in(entries)
            self._take_early()
        else:
            self._wait(entries)

    def _entry(self, position: int, told: Told) -> Entry:
        encoded = bytes(told.event)
        return Entry(position, Recorded(told.stream, told.seq, self._codec.event(encoded)), encoded)

    def _wait(self, entries: list[Entry]) -> None:
        first = entries[0].position
        self._early[first] = self._cursor.epoch, entries
        asyncio.get_running_loop().call_later(SOON, self._give_up, first)
        if len(self._early) > EARLY:
            self._give_up(first)

    def _take_early(self) -> None:
        """Those whose moment has come. One that begins before the cursor was taken in by another way, or in part."""
        for first in sorted(self._early):
            if first > self._cursor.position + 1:
                break
            epoch, entries = self._early.pop(first)
            if epoch == self._cursor.epoch:
                self._cursor.take_in(entries)

    def _give_up(self, first: int) -> None:
        """What is before these did not come. All that wait are read with it."""
        self._take_early()
        if first in self._early:
            self._early.clear()
            self._cursor.behind.set()


def told(entries: Sequence[Entry]) -> tuple[Told, ...] | None:
    """None where they are too much for a message, or nobody's business but the store's."""
    if any(isinstance(entry.record.event, PrivateEvent) for entry in entries):
        return None
    if sum(len(entry.encoded) for entry in entries) > WITH_EVENTS:
        return None
    return tuple(Told(entry.record.stream, entry.record.seq, Raw(entry.encoded)) for entry in entries)
