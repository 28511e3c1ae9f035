"""Was every promise kept? What each client did and heard, held against what the store has.

    acknowledged      promises made
    lost              acknowledged, and not in its place in the log; or in the log, and not on a page
    doubled           one command in two places of the log; one event heard, or one message paged, twice
    disordered        later ones before earlier ones
    gaps              seqs left out, in the log or in what somebody heard, at its end too
    never_attempted   in the log, on a page or heard, and nobody's wish; or not as it was wished

All but the first must be 0. What was attempted and never acknowledged may be in the log, once, or not.

The histories of a run that fails are kept in the folder CHAT_TEST_HISTORIES; without it, in the test's own, of which
pytest leaves the last three.
"""

import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

KINDS: Final = ("lost", "doubled", "disordered", "gaps", "never_attempted")


class Attempt(NamedTuple):
    """A message that somebody wishes to send. No two have the same text."""

    id: str
    room: str
    text: str


class Seen(NamedTuple):
    """An event as it was heard; or, without one, that the client knows the room up to `seq` from elsewhere: from the
    hello of its first connection, or from a page after a reset."""

    seq: int
    event: bytes | None = None


class History:
    """One client, over all its connections."""

    def __init__(self, name: str) -> None:
        self.name = name  # of the account
        self.attempts: dict[str, Attempt] = {}  # by command id, in order
        self.acknowledged: dict[str, int] = {}  # seq by command id
        self.refused: list[dict[str, Any]] = []
        self.seen: defaultdict[str, list[Seen]] = defaultdict(list)  # by room

    def kept(self) -> dict[str, Any]:
        """As it is written to a file."""
        seen = {room: [(seq, event and event.decode()) for seq, event in all] for room, all in self.seen.items()}
        return {**vars(self), "seen": seen}


class Sent(NamedTuple):
    seq: int
    author: str
    text: str


class Event(NamedTuple):
    seq: int
    event: bytes


class Stored(NamedTuple):
    """What a store has of its rooms: their events, in the log's order, and their messages, in the pages' order."""

    log: Mapping[str, Sequence[Event]]
    pages: Mapping[str, Sequence[Sent]] | None = None  # None: not asked
    positions: Sequence[int] = ()


class Fault(NamedTuple):
    kind: str
    where: str
    what: object


class Verdict(NamedTuple):
    acknowledged: int
    faults: list[Fault]

    def count(self, kind: str) -> int:
        return sum(fault.kind == kind for fault in self.faults)

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(kind)} {kind.replace('_', ' ')}" for kind in KINDS)
        return f"{self.acknowledged} acknowledged: {counts}"


def judge(histories: Iterable[History], stored: Stored, *, at_rest: bool = True) -> Verdict:
    """`at_rest`: everybody should have heard everything."""
    histories = list(histories)
    sent = {room: list(_sent(events)) for room, events in stored.log.items()}
    faults = [
        *_of_order("the log", stored.positions),
        *(fault for room, events in stored.log.items() for fault in _of_order(room, [seq for seq, _ in events])),
        *_of_commands(histories, sent),
        *(fault for history in histories for fault in _of_promises(history)),
        *(fault for history in histories for fault in _of_hearing(history, stored.log, at_rest)),
        *(_of_pages(stored.pages, sent) if stored.pages is not None else ()),
    ]
    return Verdict(sum(len(history.acknowledged) for history in histories), faults)


class _Heard(msgspec.Struct, tag_field="type", tag="message_sent"):
    author: str
    text: str


_heard = msgspec.json.Decoder(_Heard)


def _sent(events: Iterable[Event]) -> Iterator[Sent]:
    for seq, event in events:
        if event.startswith(b'{"type":"message_sent"'):
            message = _heard.decode(event)
            yield Sent(seq, message.author, message.text)


def _of_order(where: str, seqs: Iterable[int], after: int = 0) -> Iterator[Fault]:
    """Numbers that should go on from `after` one by one."""
    known: set[int] = set()
    highest = after
    for seq in seqs:
        if seq in known or seq <= after:
            yield Fault("doubled", where, seq)
        elif seq < highest:
            yield Fault("disordered", where, seq)
        known.add(seq)
        highest = max(highest, seq)
    for seq in range(after + 1, highest):
        if seq not in known:
            yield Fault("gaps", where, seq)


def _of_commands(histories: Iterable[History], sent: Mapping[str, Sequence[Sent]]) -> Iterator[Fault]:
    """Every command against every message."""
    places: defaultdict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for room, messages in sent.items():
        for seq, author, text in messages:
            places[author, text].append((room, seq))
    for history in histories:
        for attempt in history.attempts.values():
            found = places.pop((history.name, attempt.text), [])
            yield from (Fault("doubled", attempt.id, place) for place in found[1:])
            yield from (Fault("never_attempted", attempt.id, place) for place in found if place[0] != attempt.room)
            promised = history.acknowledged.get(attempt.id)
            if promised is not None and (attempt.room, promised) not in found:
                yield Fault("lost", attempt.id, (attempt.room, promised))
    for (author, text), unknown in places.items():
        yield from (Fault("never_attempted", author, (place, text[:40])) for place in unknown)


def _of_promises(history: History) -> Iterator[Fault]:
    """One after the other as they were sent, unless some were refused and asked again."""
    if history.refused:
        return
    last: dict[str, int] = {}
    for name, room, _ in history.attempts.values():
        seq = history.acknowledged.get(name)
        if seq is not None:
            if seq < last.get(room, 0):
                yield Fault("disordered", name, (room, seq))
            last[room] = seq


def _of_hearing(history: History, log: Mapping[str, Sequence[Event]], at_rest: bool) -> Iterator[Fault]:
    for room, seen in history.seen.items():
        where = f"{history.name} in {room}"
        events = dict(log.get(room, ()))
        head = max(events, default=0)
        for after, seqs in _runs(seen):
            yield from _of_order(where, seqs, after)
        for seq, event in seen:
            if event is not None and events.get(seq) != event:
                yield Fault("never_attempted", where, (seq, event))
        if at_rest:
            yield from (Fault("gaps", where, seq) for seq in range(max(seq for seq, _ in seen) + 1, head + 1))


def _runs(seen: Iterable[Seen]) -> list[tuple[int, list[int]]]:
    """What was heard after each leap, with where the leap led to."""
    runs: list[tuple[int, list[int]]] = []
    for seq, event in seen:
        if event is None or not runs:
            runs.append((seq if event is None else 0, []))
        if event is not None:
            runs[-1][1].append(seq)
    return runs


def _of_pages(pages: Mapping[str, Sequence[Sent]], sent: Mapping[str, Sequence[Sent]]) -> Iterator[Fault]:
    for room in {**sent, **pages}:
        logged, paged = sent.get(room, ()), pages.get(room, ())
        seqs = [message.seq for message in paged]
        where = f"pages of {room}"
        yield from (Fault("doubled", where, seq) for seq, times in Counter(seqs).items() if times > 1)
        yield from (Fault("disordered", where, after) for before, after in pairwise(seqs) if after < before)
        yield from (Fault("lost", where, message) for message in {*logged} - {*paged})
        yield from (Fault("never_attempted", where, message) for message in {*paged} - {*logged})


def read_log(file: Path) -> Stored:
    """The log of a SQLite file, which a server may have open."""
    log: defaultdict[str, list[Event]] = defaultdict(list)
    positions = []
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for position, stream, seq, event in connection.execute(
            "SELECT position, stream, seq, event FROM log ORDER BY position"
        ):
            positions.append(position)
            kind, _, name = stream.partition(":")
            if kind == "room":
                log[name].append(Event(seq, event))
    return Stored(log, positions=positions)


def demand(histories: Sequence[History], stored: Stored, folder: Path, *, at_rest: bool = True) -> Verdict:
    """Fails the test unless all promises were kept; the histories are kept in `folder` then."""
    verdict = judge(histories, stored, at_rest=at_rest)
    if verdict.faults:
        keep(histories, stored, folder)
        some = "\n".join(f"  {fault.kind}: {fault.where}: {fault.what}" for fault in verdict.faults[:20])
        raise AssertionError(f"{verdict}\n{some}\nThe histories are in {folder}")
    return verdict


def histories_in(folder: Path) -> Path:
    """Where the histories of a test are kept whose own folder this is."""
    kept = os.environ.get("CHAT_TEST_HISTORIES")
    return Path(kept, folder.name) if kept else folder / "histories"


@contextmanager
def kept_when_it_fails(histories: Sequence[History], file: Path, folder: Path) -> Iterator[None]:
    """Whatever fails within, an answer that never comes too. `file` is the SQLite file, `folder` for the histories."""
    try:
        yield
    except BaseException as error:
        if not folder.exists():  # else the verdict has brought them there
            keep(histories, read_log(file), folder)
            error.add_note(f"The histories are in {folder}")
        raise


def keep(histories: Sequence[History], stored: Stored, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for history in histories:
        (folder / f"{history.name}.json").write_text(json.dumps(history.kept(), indent=1))
    log = {room: [(seq, event.decode()) for seq, event in events] for room, events in stored.log.items()}
    (folder / "log.json").write_text(json.dumps(log, indent=1))
    (folder / "pages.json").write_text(json.dumps(stored.pages, indent=1))
