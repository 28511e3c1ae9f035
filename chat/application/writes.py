"""What a turn leaves in the store: its events, and every fold of them that somebody will want to read.

A state that an event of another stream changed is written at once, and so is one from which something was erased; for
its own stream's sake a state is written when the tail behind it has grown as long as itself. So a state can always
be made of its row and of the events of its own stream behind that.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from chat.application.cache import Cache
from chat.application.codec import FORMAT, Codec, encode, row_of
from chat.application.ports import Store
from chat.domain.log import AnswerRow, Entry, Erasure, ListedRow, Recorded, StateRow, WordsRow, Writes
from chat.domain.vocabulary import RoomEvent, State
from chat.logic.lists import lists_of
from chat.logic.mediator import Draft
from chat.logic.redaction import about, erases, redacted
from chat.logic.words import words_of


class Turned:
    """What the commands of one turn have led to so far, on top of a log that ends at `head`."""

    def __init__(self, draft: Draft, head: int) -> None:
        self.draft = draft
        self.head = head
        self.entries: list[Entry] = []
        self.answers: list[AnswerRow] = []
        self.erases: dict[str, int] = {}  # what is taken back, and the position of the last event that does so
        self.written: tuple[StateRow, ...] = ()

    def add(self, draft: Draft, records: Iterable[Recorded]) -> None:
        self.draft.merge(draft)
        for record in records:
            position = self.head + len(self.entries) + 1
            self.entries.append(Entry(position, record, encode(record.event)))
            if taken_back := erases(record.event):
                self.erases[taken_back] = position
                if not isinstance(record.event, RoomEvent):  # a room's state holds nothing that can be erased
                    self.draft.foreign.add(record.stream)

    def answer(self, actor: str, name: str, answer: bytes) -> None:
        self.answers.append(AnswerRow(actor, name, answer))


async def erased(store: Store, codec: Codec, turned: Turned) -> tuple[Erasure, ...]:
    """The older events to be blanked; those of this very turn are blanked in it before anybody sees them."""
    if not turned.erases:
        return ()
    for index, entry in enumerate(turned.entries):
        name = about(entry.record.event)
        if name and entry.position < turned.erases.get(name, 0):
            event = redacted(entry.record.event)
            turned.entries[index] = Entry(entry.position, replace(entry.record, event=event), encode(event))
    rows = await store.read_about(list(turned.erases))
    return tuple(Erasure(row.position, encode(redacted(codec.event(row.event)))) for row in rows)


def writes_of(turned: Turned, erasures: tuple[Erasure, ...], cache: Cache) -> Writes:
    rows = tuple(row_of(entry) for entry in turned.entries)
    turned.written = tuple(states_of(turned, cache))
    changes = [(key, _before(key, turned), version.state) for key, version in turned.draft.changed.items()]
    began = {row.about: row.position for row in reversed(rows) if row.about}
    return Writes(
        log=rows,
        states=turned.written,
        words=tuple(words_changed(changes, began)),
        listed=tuple(lists_changed(changes)),
        answers=tuple(turned.answers),
        erasures=erasures,
    )


def _before(key: str, turned: Turned) -> State | None:
    version = turned.draft.base.get(key)
    return version.state if version else None


def states_of(turned: Turned, cache: Cache) -> Iterable[StateRow]:
    for key, version in turned.draft.changed.items():
        if key in turned.draft.foreign or ((entry := cache.entry(key)) and entry.is_due):
            yield StateRow(key, version.seq, FORMAT, encode(version.state))


def words_changed(changes: Sequence[tuple[str, State | None, State]], began: dict[str, int]) -> Iterable[WordsRow]:
    for key, before, after in changes:
        new = words_of(key, after)
        old = words_of(key, before) if before else ()
        if old != new:
            yield WordsRow(key, 0 if old else began.get(key, 0), old, new)


def lists_changed(changes: Sequence[tuple[str, State | None, State]]) -> Iterable[ListedRow]:
    for key, before, after in changes:
        new = lists_of(after)
        old = lists_of(before) if before else {}
        if old != new:
            for name in {**old, **new}:
                yield ListedRow(name, key, new.get(name))
