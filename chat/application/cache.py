"""States at hand: a bounded cache, least recently used goes first, between turns only.

What was never written, and is known to be nothing, goes before all else: names and tokens that are made up push out
nobody's states. An entry knows the position that it was loaded at, so that no event goes into it twice, and how much
of its own stream has come since it was written, so that the turn knows when to write it again.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from chat.application.codec import Codec
from chat.domain.log import Entry, Loaded, Stored
from chat.logic.mediator import Tables, Version, advance, touched

SIZE: Final = 48 * 1024 * 1024  # bytes of encoded states, each counted as LEAST or more
LEAST: Final = 1_024
TAIL_EVENTS: Final = 100  # a state is not written for its own stream's sake before that many


class Cached:
    """A state and its bookkeeping. `written` is the seq at which the store has it, `tail` the bytes since."""

    __slots__ = ("is_blank", "loaded_at", "size", "tail", "version", "written")

    def __init__(
        self, version: Version, loaded_at: int, written: int, size: int, tail: int, *, is_blank: bool = False
    ) -> None:
        self.is_blank = is_blank  # nothing has happened to it yet
        self.version = version
        self.loaded_at = loaded_at
        self.written = written
        self.size = size
        self.tail = tail

    @property
    def is_due(self) -> bool:
        """Whether its tail is as long as itself, and long enough."""
        return self.tail >= self.size and self.version.seq - self.written >= TAIL_EVENTS


class Cache:
    def __init__(self, tables: Tables, codec: Codec) -> None:
        self.bound = SIZE
        self._tables = tables
        self._codec = codec
        self._entries: OrderedDict[str, Cached] = OrderedDict()  # the most recently used stand last
        self._size = 0
        self._in_use = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes, as SIZE counts them."""
        return self._size

    def get(self, key: str, /) -> Version | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not entry.is_blank:
            self._entries.move_to_end(key)
        return entry.version

    def entry(self, key: str) -> Cached | None:
        return self._entries.get(key)

    def admit(self, loaded: Loaded, since: Sequence[Entry] = ()) -> None:
        """Take states in as the store had them at `loaded.position`, unless they are here already. `since` is what
        has been told meanwhile."""
        new = [key for key in loaded.states if key not in self._entries]
        for key in new:
            self._put(key, self._cached(key, loaded.states[key], loaded.position))
            if self._entries[key].is_blank:
                self._entries.move_to_end(key, last=False)
        for entry in since:
            self.fold(entry, new)

    def _cached(self, key: str, stored: Stored, position: int) -> Cached:
        snapshot, tail = stored
        size = len(snapshot.state) if snapshot else 0
        version = self._codec.version(key, stored)
        written = snapshot.seq if snapshot else 0
        length = sum(len(row.event) for row in tail)
        return Cached(version, position, written, size, length, is_blank=not (snapshot or tail))

    def _put(self, key: str, entry: Cached) -> None:
        self._entries[key] = entry
        self._size += max(entry.size, LEAST)

    def settle(self, key: str, version: Version, position: int) -> None:
        """What a turn of this node made of a state, by the event at `position`. A new one that has no stream of its
        own, as a message, is not kept: most are never asked for again, and whoever does has it loaded.
        """
        entry = self._entries.get(key)
        if entry is None:
            if version.seq:
                self._put(key, Cached(version, position, 0, 0, 0))
        elif entry.loaded_at <= position:
            entry.version = version
            entry.is_blank = False

    def grown(self, stream: str, size: int) -> None:
        """The stream of a state has become longer by so many bytes."""
        if entry := self._entries.get(stream):
            entry.tail += size

    def written(self, key: str, seq: int, size: int) -> None:
        """The store has this state as of `seq` now."""
        if entry := self._entries.get(key):
            self._size += max(size, LEAST) - max(entry.size, LEAST)
            entry.written, entry.size, entry.tail = seq, size, 0

    def fold(self, told: Entry, among: Collection[str] | None = None) -> None:
        """Take an event of another's turn into the states that are here, `among` these, and do not have it yet.

        A state whose own stream would jump is dropped: it is loaded again when it is asked for.
        """
        record, position = told.record, told.position
        for key in touched(self._tables, record):
            entry = self._entries.get(key)
            if entry is None or entry.loaded_at >= position or (among is not None and key not in among):
                continue
            if key == record.stream and entry.version.seq + 1 != record.seq:
                self.drop(key)
                continue
            entry.version = advance(self._tables, key, entry.version, record)
            entry.is_blank = False
            if key == record.stream:
                entry.tail += len(told.encoded)

    def drop(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self._size -= max(entry.size, LEAST)

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A turn is under way: what it has seen stays at hand until it is over."""
        self._in_use = True
        try:
            yield
        finally:
            self._in_use = False
            self.trim()

    def trim(self) -> None:
        """Back within the bound, least recently used first."""
        while self._size > self.bound and not self._in_use:
            self.drop(next(iter(self._entries)))
