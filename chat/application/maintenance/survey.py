"""The first pass over a log: whether it is sound in itself, and where the messages in it begin and end."""

from array import array
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import repeat
from typing import Final

from msgspec import MsgspecError, Struct
from msgspec.json import decode

from chat.application.codec import Codec
from chat.application.maintenance.findings import Findings
from chat.application.maintenance.progress import Progress
from chat.application.node import Node
from chat.application.ports import Store
from chat.domain.log import LogRow, Recorded
from chat.domain.vocabulary import Event, RoomEvent
from chat.logic.mediator import touched
from chat.logic.redaction import about

PAGE: Final = 1_000
MESSAGE: Final = "message:"  # what keys begin with of which there are too many to keep
UNREADABLE: Final = (MsgspecError, UnicodeDecodeError, RecursionError)


async def pages(store: Store, upto: int) -> AsyncIterator[list[LogRow]]:
    """The log from its beginning to the position `upto`."""
    after = 0
    while after < upto and (rows := await store.read_log(after, min(PAGE, upto - after))):
        if found := [row for row in rows if row.position <= upto]:
            yield found
        after = max(after + 1, rows[-1].position)


class Survey:
    """Where in the log each message begins, and the last event about it: 16 bytes for each event of the log."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.last = array("Q", bytes(8 * (head + 1)))  # by the position where the message begins
        self.unreadable: set[int] = set()
        self.ends: Mapping[str, int] = {}  # the last seqs of the streams
        self._began: dict[str, array[int]] = {}  # by room and seq

    def note(self, key: str, position: int) -> None:
        room, _, number = key.rpartition(":")
        seq, began = int(number), self._began.setdefault(room, array("Q"))
        if seq >= len(began):
            began.extend(repeat(0, seq + 1 - len(began)))
        began[seq] = began[seq] or position
        self.last[began[seq]] = position

    def began(self, key: str) -> int:
        """0 for a message that the log knows nothing of."""
        room, _, number = key.rpartition(":")
        began = self._began.get(room, ())
        seq = int(number) if number.isdecimal() else len(began)
        return began[seq] if seq < len(began) else 0


async def changed_since(node: Node, position: int) -> set[str]:
    """The keys of all states that events behind `position` concern."""
    keys: set[str] = set()
    while rows := await node.store.read_log(position, PAGE):
        for row in rows:
            keys.update(touched(node.tables, node.codec.entry(row).record))
        position = rows[-1].position
    return keys


class Soundness:
    """Of the log in itself: positions and seqs have no gap, and every row says what its event says."""

    def __init__(self, node: Node, findings: Findings) -> None:
        self._codec: Codec = node.codec
        self._known = {event.__struct_config__.tag for event in node.tables.events}
        self._findings = findings
        self._position = 0
        self.seqs: dict[str, int] = {}

    def read(self, row: LogRow) -> Event | None:
        for fault in self._misplaced(row):
            self._findings.add_to_log(row.position, fault)
        self._position = row.position
        self.seqs[row.stream] = row.seq
        try:
            event = self._codec.event(row.event)
        except UNREADABLE as error:
            if (kind := _kind(row.event)) and kind not in self._known:
                self._findings.add_newer(row.position, kind)
            else:
                self._findings.add_to_log(row.position, f"its event cannot be read: {error}")
            return None
        for fault in _untrue(row, event):
            self._findings.add_to_log(row.position, fault)
        return event

    def end(self, head: int) -> None:
        if self._position < head:
            self._findings.add_to_log(self._position + 1, f"it is missing, and the log goes to {head}")

    def _misplaced(self, row: LogRow) -> Iterator[str]:
        if row.position != self._position + 1:
            yield f"it follows {self._position}"
        if row.seq != (before := self.seqs.get(row.stream, 0)) + 1:
            yield f"it has seq {row.seq} of {row.stream}, after {before}"


class _Any(Struct, gc=False):
    """What every event has, of whatever version."""

    type: str


def _kind(event: bytes) -> str:
    try:
        return decode(event, type=_Any).type
    except UNREADABLE:
        return ""


def _untrue(row: LogRow, event: Event) -> Iterator[str]:
    if event.stream != row.stream:
        yield f"it stands in {row.stream}, its event belongs to {event.stream}"
    if isinstance(event, RoomEvent) and event.seq != row.seq:
        yield f"it has seq {row.seq}, its event says {event.seq}"
    if about(event) != row.about:
        yield f"it is about {row.about}, its event about {about(event)}"


async def survey(node: Node, head: int, findings: Findings) -> Survey:
    found = Survey(head)
    soundness = Soundness(node, findings)
    with Progress("events surveyed", head) as progress:
        async for rows in pages(node.store, head):
            for row in rows:
                if event := soundness.read(row):
                    _note(node, found, row, event, findings)
                else:
                    found.unreadable.add(row.position)
            progress.at(rows[-1].position)
    soundness.end(head)
    found.ends = soundness.seqs
    return found


def _note(node: Node, found: Survey, row: LogRow, event: Event, findings: Findings) -> None:
    for key in touched(node.tables, Recorded(row.stream, row.seq, event)):
        if not key.startswith(MESSAGE):
            continue
        if int(key.rpartition(":")[2]) > row.seq:
            findings.add_to_log(row.position, f"it changes {key}, which is not there yet")
            found.unreadable.add(row.position)
        else:
            found.note(key, row.position)
