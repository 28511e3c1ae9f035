"""Between values and bytes. An event's bytes are made once: stored, sent and replayed as they are."""

from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec

from chat.domain.log import Entry, LogRow, Recorded, StateRow, Stored
from chat.domain.vocabulary import Event, State
from chat.logic.mediator import Tables, Version, advance
from chat.logic.redaction import about

FORMAT: Final = 1  # of the fold; raised when an event is added or a fold changes

encode = msgspec.json.Encoder().encode


def row_of(entry: Entry) -> LogRow:
    record = entry.record
    return LogRow(entry.position, record.stream, record.seq, about(record.event), entry.encoded)


class Codec:
    """Decoders for the types that the mediator's tables name."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._event: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, tables.events))
        self._states = {kind: msgspec.json.Decoder(state) for kind, state in tables.states.items()}

    def event(self, encoded: bytes) -> Event:
        event: Event = self._event.decode(encoded)
        return event

    def entry(self, row: LogRow) -> Entry:
        return Entry(row.position, Recorded(row.stream, row.seq, self.event(row.event)), row.event)

    def state(self, row: StateRow) -> State:
        return self._states[row.key.partition(":")[0]].decode(row.state)

    def version(self, key: str, stored: Stored) -> Version:
        """The state that was written last, and the events behind it folded in."""
        snapshot = stored.snapshot
        version = Version(snapshot.seq, self.state(snapshot)) if snapshot else self._tables.initial(key)
        for row in stored.tail:
            version = advance(self._tables, key, version, self.entry(row).record)
        return version
