"""A store that forgets: dicts, sorted lists and one lock. It shows what the other stores must do.

Nothing is awaited while anything is read or changed, so every read is of one moment, and a commit is checked in whole
before its first row is taken in.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from heapq import nlargest, nsmallest
from itertools import chain, islice, takewhile
from math import inf
from typing import Final, assert_never

from chat.domain.errors import Poisoned, Unavailable, Unusable
from chat.domain.log import (
    Begun,
    Holding,
    Listed,
    ListedRow,
    Loaded,
    LogInfo,
    LogRow,
    Range,
    Row,
    Rows,
    StateRow,
    Stored,
    WordsRow,
    Writes,
)

TAIL: Final = 1_000


class Log:
    """The events, by position, by stream and by what they are about."""

    def __init__(self) -> None:
        self.rows: list[LogRow] = []
        self.streams: defaultdict[str, list[int]] = defaultdict(list)  # positions, in the order of their seqs
        self.abouts: defaultdict[str, list[int]] = defaultdict(list)

    def at(self, positions: Iterable[int]) -> list[LogRow]:
        return [self.rows[position - 1] for position in positions]

    def seq(self, position: int) -> int:
        return self.rows[position - 1].seq

    def stream(self, stream: str, after: int, upto: float = inf) -> list[LogRow]:
        positions = self.streams.get(stream, [])
        low, high = (bisect_right(positions, seq, key=self.seq) for seq in (after, upto))
        return self.at(positions[low:high])

    def has(self, stream: str, seq: int) -> bool:
        return bool(self.stream(stream, seq - 1, seq))

    def append(self, row: LogRow) -> None:
        self.rows.append(row)
        insort(self.streams[row.stream], row.position, key=self.seq)
        if row.about is not None:
            self.abouts[row.about].append(row.position)


class Fold:
    """What is folded from the log, and can be thrown away and folded anew: states, words, lists."""

    def __init__(self) -> None:
        self.states: dict[str, StateRow] = {}
        self.keys: list[str] = []  # of the states, sorted
        self.words: defaultdict[str, set[int]] = defaultdict(set)
        self.labels: dict[tuple[str, str], str] = {}  # (list, key) -> label
        self.listed: list[tuple[str, str, str]] = []  # (list, label, key), sorted

    def put(self, log: Log, states: Iterable[StateRow], words: Iterable[WordsRow], listed: Iterable[ListedRow]) -> None:
        for state in states:
            self.put_state(state)
        for row in words:
            self.put_words(row.position or log.abouts[row.key][0], row)
        for entry in listed:
            self.put_listed(entry)

    def put_state(self, row: StateRow) -> None:
        if row.key not in self.states:
            insort(self.keys, row.key)
        self.states[row.key] = row

    def put_words(self, position: int, row: WordsRow) -> None:
        for word in row.before:
            self.words[word].discard(position)
        for word in row.after:
            self.words[word].add(position)

    def put_listed(self, row: ListedRow) -> None:
        old = self.labels.pop((row.list, row.key), None)
        if old is not None:
            del self.listed[bisect_left(self.listed, (row.list, old, row.key))]
        if row.label is not None:
            self.labels[row.list, row.key] = row.label
            insort(self.listed, (row.list, row.label, row.key))


class Memory:
    """What the stores of several nodes may share, and the writer's lock on it."""

    def __init__(self) -> None:
        self.info: tuple[str, int] | None = None  # epoch, format
        self.log = Log()
        self.answers: dict[tuple[str, str], bytes] = {}
        self.fold = Fold()
        self.anew: Fold | None = None
        self.lock = asyncio.Lock()


class MemoryStore:
    """Satisfies `chat.application.ports.Store`, for one node. Opened again, its memory has what it had."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.holds = False  # the lock

    async def open(self, epoch: str, form: int) -> LogInfo:
        known, found = self.memory.info or (epoch, form)
        if found > form:
            raise Unusable(f"the log is of format {found}, this version knows {form}: start the newer version")
        self.memory.info = (known, form)
        return await self.read_info()

    async def close(self) -> None:
        await self.abandon()

    # A turn.

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        await self.memory.lock.acquire()
        self.holds = True
        answered = {who: self.memory.answers[who] for who in asked if who in self.memory.answers}
        tail = tuple(self.memory.log.rows[after : after + TAIL])
        return Begun(len(self.memory.log.rows), self._info()[1], tail, answered, self._load(keys))

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        return self._load(keys)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        return self.memory.log.at(
            sorted(chain.from_iterable(self.memory.log.abouts.get(name, ()) for name in set(names)))
        )

    async def commit(self, writes: Writes) -> None:
        try:
            check(self.memory.log, self.memory.answers, writes)
            self._take(writes)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        if self.holds:
            self.holds = False
            self.memory.lock.release()

    def _take(self, writes: Writes) -> None:
        for row in writes.log:
            self.memory.log.append(row)
        for position, event in writes.erasures:
            self.memory.log.rows[position - 1] = self.memory.log.rows[position - 1]._replace(event=event)
        self.memory.answers.update(((row.actor, row.id), row.answer) for row in writes.answers)
        self.memory.fold.put(self.memory.log, writes.states, writes.words, writes.listed)

    # Reading beside turns.

    async def load(self, keys: Sequence[str]) -> Loaded:
        return self._load(keys)

    async def read_log(self, after: int, limit: int) -> list[LogRow]:
        return self.memory.log.rows[after : after + limit]

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        return self.memory.log.stream(stream, after, upto)[:limit]

    async def find(self, rows: Sequence[Rows]) -> list[list[Row]]:
        return [self._find(one) for one in rows]

    def _load(self, keys: Sequence[str]) -> Loaded:
        return Loaded(len(self.memory.log.rows), {key: self._stored(key) for key in keys})

    def _stored(self, key: str) -> Stored:
        snapshot = self.memory.fold.states.get(key)
        return Stored(snapshot, tuple(self.memory.log.stream(key, snapshot.seq if snapshot else 0)))

    def _find(self, rows: Rows) -> list[Row]:
        match rows:
            case Range():
                return self._range(rows)
            case Holding():
                return self._holding(rows)
            case Listed():
                return self._listed(rows)
            case _:
                assert_never(rows)

    def _range(self, rows: Range) -> list[Row]:
        keys = self.memory.fold.keys
        low, high = bisect_left(keys, rows.first), bisect_right(keys, rows.last)
        if rows.newest:
            found = keys[max(low, high - rows.limit) : high][::-1]
        else:
            found = keys[low : min(high, low + rows.limit)]
        return [Row(key, self.memory.fold.states[key].state) for key in found]

    def _holding(self, rows: Holding) -> list[Row]:
        words = self.memory.fold.words
        groups = [{word} for word in rows.words] + [set(group) for group in rows.among]
        if not groups:
            return []
        filed = set.intersection(*(set().union(*(words.get(word, ()) for word in group)) for group in groups))
        found = nlargest(rows.limit, (at for at in filed if rows.before is None or at < rows.before))
        return [self._row(position) for position in found]

    def _row(self, position: int) -> Row:
        key = self.memory.log.rows[position - 1].about or ""
        return Row(key, self.memory.fold.states[key].state, position)

    def _listed(self, rows: Listed) -> list[Row]:
        behind = islice(self.memory.fold.listed, bisect_right(self.memory.fold.listed, (rows.list, *rows.after)), None)
        on_it = takewhile(lambda entry: entry[0] == rows.list, behind)
        return list(islice((Row(key) for _, label, key in on_it if rows.text in label), rows.limit))

    # Maintenance.

    async def read_info(self) -> LogInfo:
        return LogInfo(*self._info(), len(self.memory.log.rows))

    async def write_epoch(self, epoch: str) -> None:
        async with self.memory.lock:
            self.memory.info = (epoch, self._info()[1])

    async def read_states(self, after: str, limit: int, *, rebuilt: bool = False) -> list[StateRow]:
        fold = self._folded(rebuilt)
        low = bisect_right(fold.keys, after)
        return [fold.states[key] for key in fold.keys[low : low + limit]]

    async def read_listed(self, after: tuple[str, str], limit: int, *, rebuilt: bool = False) -> list[ListedRow]:
        labels = self._folded(rebuilt).labels
        return [ListedRow(*at, labels[at]) for at in nsmallest(limit, (at for at in labels if at > after))]

    async def read_words(self, after: tuple[str, int], limit: int, *, rebuilt: bool = False) -> list[tuple[str, int]]:
        words = self._folded(rebuilt).words
        filed = ((word, position) for word, positions in words.items() for position in positions)
        return nsmallest(limit, (at for at in filed if at > after))

    async def start_rebuild(self) -> None:
        self.memory.anew = Fold()

    async def write_rebuilt(
        self, states: Sequence[StateRow], words: Sequence[WordsRow], listed: Sequence[ListedRow]
    ) -> None:
        self._folded(True).put(self.memory.log, states, words, listed)

    async def finish_rebuild(self) -> None:
        async with self.memory.lock:
            self.memory.fold, self.memory.anew = self._folded(True), None

    def _info(self) -> tuple[str, int]:
        if self.memory.info is None:
            raise Unavailable("the store is not open")
        return self.memory.info

    def _folded(self, rebuilt: bool) -> Fold:
        fold = self.memory.anew if rebuilt else self.memory.fold
        if fold is None:
            raise Unavailable("no rebuild was started")
        return fold


def check(log: Log, answers: Container[tuple[str, str]], writes: Writes) -> None:
    """Raise `Poisoned` unless all of it can be taken in."""
    head = len(log.rows)
    if any(row.position != position for position, row in enumerate(writes.log, head + 1)):
        raise Poisoned(f"the positions do not follow {head} one by one")
    places = [(row.stream, row.seq) for row in writes.log]
    if len(set(places)) < len(places) or any(log.has(*place) for place in places):
        raise Poisoned("a place in a stream is given twice")
    answered = [(row.actor, row.id) for row in writes.answers]
    if len(set(answered)) < len(answered) or any(who in answers for who in answered):
        raise Poisoned("a command is answered twice")
    if any(not 0 < row.position <= head + len(writes.log) for row in writes.erasures):
        raise Poisoned("an erasure is of no event")
    new = {row.about for row in writes.log}
    if any(not row.position and row.key not in log.abouts and row.key not in new for row in writes.words):
        raise Poisoned("words are of a key that no event is about")
