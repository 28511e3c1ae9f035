"""The log as a store keeps it, and what a store is asked: rows and descriptions of rows, of no particular noun.

There is one log: the events of all streams in one total order, at positions without a gap. Everything else that a
store holds (states, lists, words) is a fold of it, kept so that nobody has to read the log from its start.
"""

from typing import Final, NamedTuple

from msgspec import Struct

from chat.domain.vocabulary import Event

TAIL: Final = 1_000  # rows of the log that a turn takes in under the lock


class LogInfo(NamedTuple):
    """`epoch` names this history: another history that could be taken for it has another. `format` is of the fold."""

    epoch: str
    format: int
    head: int  # the last position; 0 in an empty log


class Recorded(Struct, frozen=True, gc=False):
    """An event in its place in its stream."""

    stream: str
    seq: int
    event: Event


class Entry(Struct, frozen=True, gc=False):
    """An event in its place in the log, as value and as the bytes that are stored and told."""

    position: int
    record: Recorded
    encoded: bytes


class LogRow(NamedTuple):
    """An event, encoded as clients get it. `about` names what can be erased from it."""

    position: int
    stream: str
    seq: int
    about: str | None
    event: bytes


class StateRow(NamedTuple):
    """A state as of `seq` of its own stream, folded by a fold of this format."""

    key: str
    seq: int
    format: int
    state: bytes


class WordsRow(NamedTuple):
    """What the state `key` is found by, before and now. It is filed at the position of the first event about it;
    `position` tells that where the event is of this very turn, and is 0 where the store has to look it up."""

    key: str
    position: int
    before: tuple[str, ...]
    after: tuple[str, ...]


class ListedRow(NamedTuple):
    """Where `key` stands on a list; None takes it off."""

    list: str
    key: str
    label: str | None


class AnswerRow(NamedTuple):
    """What the sender of a command was told, for good."""

    actor: str
    id: str
    answer: bytes


class Erasure(NamedTuple):
    """The event at `position`, without what was taken back."""

    position: int
    event: bytes


class Writes(NamedTuple):
    """All that one turn leaves behind; a store takes the whole of it or nothing."""

    log: tuple[LogRow, ...] = ()
    states: tuple[StateRow, ...] = ()
    words: tuple[WordsRow, ...] = ()
    listed: tuple[ListedRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    erasures: tuple[Erasure, ...] = ()


class Stored(NamedTuple):
    """A state as written last, or None, and the events of its own stream behind it, in order."""

    snapshot: StateRow | None
    tail: tuple[LogRow, ...]


class Loaded(NamedTuple):
    """States as they were when the log ended at `position`."""

    position: int
    states: dict[str, Stored]


class Begun(NamedTuple):
    """What a turn finds under the lock. `tail` is the log behind the asked position, at most TAIL rows of it; the turn
    may go on only if it ends at the log's head."""

    info: LogInfo
    tail: tuple[LogRow, ...]
    answered: dict[tuple[str, str], bytes]
    loaded: Loaded


class Range(Struct, frozen=True, kw_only=True):
    """The states from `first` to `last`, both included, in the order of their keys or, with `newest`, against it: as
    they are stored, without their keys."""

    first: str
    last: str
    limit: int
    newest: bool = False


class Hit(NamedTuple):
    """A state as it is stored, and where in the log it began."""

    key: str
    state: bytes
    position: int


class Holding(Struct, frozen=True, kw_only=True):
    """Hits: the states that hold every one of `words` and, of each group in `among`, at least one; the newest first, by
    the position where they began, and only such that began before `before`."""

    words: tuple[str, ...]
    among: tuple[tuple[str, ...], ...] = ()
    before: int | None = None
    limit: int = 20


class Listed(Struct, frozen=True, kw_only=True):
    """Keys on a list whose label holds `text`, by label and key, behind the label and key `after`."""

    list: str
    text: str = ""
    after: tuple[str, str] = ("", "")
    limit: int = 100


Rows = Range | Holding | Listed
Found = list[bytes] | list[Hit] | list[str]  # states, hits or keys, as was asked
