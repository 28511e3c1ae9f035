"""A store that forgets: dicts, sorted lists and one lock. It shows what the other stores must do.

Nothing is awaited while anything is read or changed, so every read is of one moment, and a commit is checked in whole
before its first row is taken in.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest, nsmallest
from itertools import chain, islice, takewhile
from math import inf
from typing import assert_never

from chat.domain.errors import Poisoned, Unavailable, Unusable
from chat.domain.log import (
    TAIL,
    AnswerRow,
    Begun,
    Found,
    Hit,
    Holding,
    Listed,
    ListedRow,
    Loaded,
    LogInfo,
    LogRow,
    Range,
    Rows,
    StateRow,
    Stored,
    WordsRow,
    Writes,
)


class Log:
    """The events, by position, by stream and by what they are about."""

    def __init__(self) -> None:
        self.rows: list[LogRow] = []
        self.streams: defaultdict[str, list[int]] = defaultdict(list)  # positions, in the order of their seqs
        self.abouts: defaultdict[str, list[int]] = defaultdict(list)

    def append(self, row: LogRow) -> None:
        self.rows.append(row)
        insort(self.streams[row.stream], row.position, key=self._seq)
        if row.about is not None:
            self.abouts[row.about].append(row.position)

    def erase(self, position: int, event: bytes) -> None:
        self.rows[position - 1] = self.rows[position - 1]._replace(event=event)

    def at(self, positions: Iterable[int]) -> list[LogRow]:
        return [self.rows[position - 1] for position in positions]

    def stream(self, stream: str, after: int, upto: float = inf) -> list[LogRow]:
        positions = self.streams.get(stream, [])
        low, high = (bisect_right(positions, seq, key=self._seq) for seq in (after, upto))
        return self.at(positions[low:high])

    def has(self, stream: str, seq: int) -> bool:
        return bool(self.stream(stream, seq - 1, seq))

    def about(self, names: Iterable[str]) -> list[LogRow]:
        return self.at(sorted(chain.from_iterable(self.abouts.get(name, ()) for name in set(names))))

    def _seq(self, position: int) -> int:
        return self.rows[position - 1].seq


class Fold:
    """What is folded from the log, and can be thrown away and folded anew: states, words, lists."""

    def __init__(self) -> None:
        self.states: dict[str, StateRow] = {}
        self.keys: list[str] = []  # of the states, sorted
        self.words: defaultdict[str, set[int]] = defaultdict(set)  # positions
        self.labels: dict[tuple[str, str], str] = {}  # of (list, key)
        self.listed: list[tuple[str, str, str]] = []  # (list, label, key), sorted

    def put(self, log: Log, states: Iterable[StateRow], words: Iterable[WordsRow], listed: Iterable[ListedRow]) -> None:
        for state in states:
            self._put_state(state)
        for row in words:
            self._put_words(row.position or log.abouts[row.key][0], row)
        for entry in listed:
            self._put_listed(entry)

    def _put_state(self, row: StateRow) -> None:
        if row.key not in self.states:
            insort(self.keys, row.key)
        self.states[row.key] = row

    def _put_words(self, position: int, row: WordsRow) -> None:
        for word in row.before:
            self.words[word].discard(position)
        for word in row.after:
            self.words[word].add(position)

    def _put_listed(self, row: ListedRow) -> None:
        old = self.labels.pop((row.list, row.key), None)
        if old is not None:
            del self.listed[bisect_left(self.listed, (row.list, old, row.key))]
        if row.label is not None:
            self.labels[row.list, row.key] = row.label
            insort(self.listed, (row.list, row.label, row.key))

    def find(self, log: Log, rows: Rows) -> Found:
        match rows:
            case Range():
                return self._range(rows)
            case Holding():
                return [self._hit(log, position) for position in self._holding(rows)]
            case Listed():
                return self._listed(rows)
            case _:
                assert_never(rows)

    def _range(self, rows: Range) -> list[bytes]:
        low, high = bisect_left(self.keys, rows.first), bisect_right(self.keys, rows.last)
        keys = (self.keys[at] for at in (range(high - 1, low - 1, -1) if rows.newest else range(low, high)))
        return [self.states[key].state for key in islice(keys, rows.limit)]

    def _holding(self, rows: Holding) -> list[int]:
        groups = [(word,) for word in rows.words] + list(rows.among)
        if not groups:
            return []
        found = set.intersection(*(set().union(*(self.words.get(word, ()) for word in group)) for group in groups))
        return nlargest(rows.limit, (at for at in found if rows.before is None or at < rows.before))

    def _hit(self, log: Log, position: int) -> Hit:
        key = log.rows[position - 1].about or ""
        return Hit(key, self.states[key].state, position)

    def _listed(self, rows: Listed) -> list[str]:
        behind = islice(self.listed, bisect_right(self.listed, (rows.list, *rows.after)), None)
        on_it = takewhile(lambda entry: entry[0] == rows.list, behind)
        return list(islice((key for _, label, key in on_it if rows.text in label), rows.limit))


class Memory:
    """What the stores of several nodes may share, and the writer's lock on it."""

    def __init__(self) -> None:
        self.info: tuple[str, int] | None = None  # epoch, format
        self.log = Log()
        self.answers: dict[tuple[str, str], bytes] = {}
        self.fold = Fold()
        self.anew: Fold | None = None
        self.lock = asyncio.Lock()
        self.published = 0
        self.leader: MemoryStore | None = None

    def open(self, epoch: str, form: int) -> None:
        epoch, found = self.info or (epoch, form)
        if found > form:
            raise Unusable(f"The log was written by a newer version (format {found}, this one knows {form}).")
        self.info = (epoch, form)

    def about(self) -> LogInfo:
        if self.info is None:
            raise Unavailable("the store is not open")
        return LogInfo(*self.info, len(self.log.rows))

    def folded(self, rebuilt: bool = False) -> Fold:
        if rebuilt and self.anew is None:
            raise Unavailable("no rebuild was started")
        return self.anew if rebuilt and self.anew else self.fold

    def load(self, keys: Iterable[str]) -> Loaded:
        return Loaded(len(self.log.rows), {key: self._stored(key) for key in keys})

    def _stored(self, key: str) -> Stored:
        snapshot = self.fold.states.get(key)
        return Stored(snapshot, tuple(self.log.stream(key, snapshot.seq if snapshot else 0)))

    def check(self, writes: Writes) -> None:
        """Raise `Poisoned` unless all of it can be taken in."""
        head = len(self.log.rows)
        if any(row.position != position for position, row in enumerate(writes.log, head + 1)):
            raise Poisoned(f"the positions do not follow {head} one by one")
        places = [(row.stream, row.seq) for row in writes.log]
        if len(set(places)) < len(places) or any(self.log.has(*place) for place in places):
            raise Poisoned("a place in a stream is taken")
        answered = [(row.actor, row.id) for row in writes.answers]
        if len(set(answered)) < len(answered) or any(who in self.answers for who in answered):
            raise Poisoned("a command was answered before")
        if any(not 0 < row.position <= head + len(writes.log) for row in writes.erasures):
            raise Poisoned("an erasure is of no event")
        new = {row.about for row in writes.log}
        if any(not (row.position or row.key in self.log.abouts or row.key in new) for row in writes.words):
            raise Poisoned("words are of a key that no event is about")

    def take(self, writes: Writes) -> None:
        for row in writes.log:
            self.log.append(row)
        for erasure in writes.erasures:
            self.log.erase(*erasure)
        self.answers.update(((row.actor, row.id), row.answer) for row in writes.answers)
        self.fold.put(self.log, writes.states, writes.words, writes.listed)


class MemoryStore:
    """Satisfies `chat.application.ports.Store`. Opened again, its memory has what it had. Nodes of one process may
    share a memory, each through a store of its own."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self._holds = False  # the lock

    async def open(self, epoch: str, form: int) -> LogInfo:
        self.memory.open(epoch, form)
        return self.memory.about()

    async def close(self) -> None:
        await self.abandon()
        await self.resign()
        self.memory.anew = None

    # A turn.

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        memory = self.memory
        memory.about()
        await memory.lock.acquire()
        self._holds = True
        tail = tuple(memory.log.rows[after : after + TAIL])
        answered = {who: memory.answers[who] for who in asked if who in memory.answers}
        return Begun(memory.about(), tail, answered, memory.load(keys))

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        self._still_holding()
        return self.memory.load(keys)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        self._still_holding()
        return self.memory.log.about(names)

    async def commit(self, writes: Writes) -> None:
        self._still_holding()
        try:
            self.memory.check(writes)
            self.memory.take(writes)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        if self._holds:
            self._holds = False
            self.memory.lock.release()

    def _still_holding(self) -> None:
        if not self._holds:
            raise Unavailable("the turn has ended")

    async def probe(self) -> None:
        async with self.memory.lock:
            self.memory.about()

    # Reading beside turns.

    async def load(self, keys: Sequence[str]) -> Loaded:
        return self.memory.load(keys)

    async def read_log(self, after: int, limit: int) -> list[LogRow]:
        return self.memory.log.rows[after : after + limit]

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        return self.memory.log.stream(stream, after, upto)[:limit]

    async def find(self, rows: Sequence[Rows]) -> list[Found]:
        return [self.memory.fold.find(self.memory.log, one) for one in rows]

    # The stream for other programs.

    async def lead(self) -> int | None:
        self.memory.about()
        self.memory.leader = self.memory.leader or self
        return self.memory.published if self.memory.leader is self else None

    async def mark_published(self, position: int) -> None:
        if self.memory.leader is not self:
            raise Unavailable("this node does not lead")
        self.memory.published = max(self.memory.published, position)

    async def resign(self) -> None:
        if self.memory.leader is self:
            self.memory.leader = None

    # Maintenance.

    async def read_info(self) -> LogInfo:
        return self.memory.about()

    async def write_epoch(self, epoch: str) -> None:
        async with self.memory.lock:
            self.memory.info = (epoch, self.memory.about().format)

    async def tables(self) -> list[str]:
        return []

    async def check_table(self, table: str) -> list[str]:
        return []

    async def backup(self, target: str, tell: Callable[[int, int], None]) -> None:
        raise Unusable("What is only in memory cannot be copied: name a database.")

    async def read_states(self, after: str, limit: int, *, rebuilt: bool = False) -> list[StateRow]:
        fold = self.memory.folded(rebuilt)
        low = bisect_right(fold.keys, after)
        return [fold.states[key] for key in fold.keys[low : low + limit]]

    async def read_listed(self, after: tuple[str, str], limit: int, *, rebuilt: bool = False) -> list[ListedRow]:
        labels = self.memory.folded(rebuilt).labels
        return [ListedRow(*at, labels[at]) for at in nsmallest(limit, (at for at in labels if at > after))]

    async def read_words(self, after: tuple[str, int], limit: int, *, rebuilt: bool = False) -> list[tuple[str, int]]:
        words = self.memory.folded(rebuilt).words
        filed = ((word, position) for word, positions in words.items() for position in positions)
        return nsmallest(limit, (at for at in filed if at > after))

    async def read_answers(self, after: tuple[str, str], limit: int) -> list[AnswerRow]:
        answers = self.memory.answers
        behind = nsmallest(limit, (at for at in ((id, actor) for actor, id in answers) if at > after))
        return [AnswerRow(actor, id, answers[actor, id]) for id, actor in behind]

    async def start_rebuild(self) -> None:
        self.memory.anew = Fold()

    async def write_rebuilt(
        self, states: Sequence[StateRow], words: Sequence[WordsRow], listed: Sequence[ListedRow]
    ) -> None:
        self.memory.folded(rebuilt=True).put(self.memory.log, states, words, listed)

    async def finish_rebuild(self) -> None:
        async with self.memory.lock:
            self.memory.fold = self.memory.folded(rebuilt=True)
            self.memory.anew = None
