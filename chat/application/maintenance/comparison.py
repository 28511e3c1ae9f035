"""What is stored, held against a fresh fold.

Of what is large only a hash is kept: 8 bytes for a message's state and 8 for its words, beside the survey's 16 for each
event of the log. With the states of rooms and accounts, and of messages not yet over, that is all the memory it takes.
"""

from array import array
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from chat.application.codec import encode
from chat.application.maintenance.findings import Findings
from chat.application.maintenance.fold import States
from chat.application.maintenance.progress import Progress
from chat.application.maintenance.survey import MESSAGE, UNREADABLE, Survey
from chat.application.node import Node
from chat.domain.log import ListedRow, StateRow
from chat.domain.vocabulary import State
from chat.logic.lists import lists_of
from chat.logic.mediator import Version
from chat.logic.words import words_of

PAGE: Final = 2_000
WORDS: Final = 20_000
BEHIND: Final = MESSAGE[:-1] + ";"  # behind every key of a message
BITS: Final = 2**64 - 1


class Written(NamedTuple):
    """A state as it is stored: as of a seq, and what its bytes hash to."""

    seq: int
    print: int


def listed(states: States) -> list[ListedRow]:
    """Where these stand on lists."""
    return [
        ListedRow(name, key, label)
        for key, version in states.items()
        for name, label in lists_of(version.state).items()
    ]


def print_of(state: State) -> int:
    return hash(encode(state))


class Comparison:
    """Watches a fold. A state is compared as of its row's seq: it may be behind in its own stream, but not in what the
    events of other streams make of it."""

    def __init__(self, node: Node, survey: Survey, findings: Findings) -> None:
        self.counts = {"states": 0, "words": 0, "listed": 0}
        self._node = node
        self._survey = survey
        self._findings = findings
        self._written: dict[str, Written] = {}
        self._compared: set[str] = set()
        self._wrong: set[str] = set()  # of those, one word is enough
        self._changed: set[str] = set()
        self._prints = array("q", bytes(8 * (survey.head + 1)))  # of messages, by where they begin
        self._expected = 0  # pairs of a word and where it is filed
        self._words = array("Q", bytes(8 * (survey.head + 1)))  # sums of hashes, by where they are filed

    async def read_written(self) -> None:
        """Everything but messages; before the log is folded."""
        for after, before in (("", MESSAGE), (BEHIND, "\U0010ffff")):
            async for row in self._rows(after, before):
                if (state := self._read(row)) is not None:
                    self._written[row.key] = Written(row.seq, print_of(state))

    async def _rows(self, after: str, before: str) -> AsyncIterator[StateRow]:
        while rows := await self._node.store.read_states(after, PAGE):
            for row in rows:
                if row.key >= before:
                    return
                self.counts["states"] += 1
                yield row
            after = rows[-1].key

    def _read(self, row: StateRow) -> State | None:
        try:
            return self._node.codec.state(row)
        except (*UNREADABLE, KeyError) as error:
            self._find(row.key, f"what is stored cannot be read: {error}")
            return None

    def _find(self, key: str, sentence: str) -> None:
        if key not in self._wrong:
            self._wrong.add(key)
            self._findings.add(key, sentence)

    # ---- what it sees of the fold

    def moves_on(self, key: str, version: Version) -> None:
        written = self._written.get(key)
        if written and written.seq == version.seq:
            self._compare(key, written, version)

    def is_changed(self, key: str, version: Version) -> None:
        self._changed.add(key)
        written = self._written.get(key)
        if written and written.seq < version.seq:
            self._find(key, f"it is stored as of seq {written.seq}, but was changed from elsewhere since")

    def is_over(self, key: str, began: int, state: State) -> None:
        self._prints[began] = print_of(state)
        words = words_of(key, state)
        self._words[began] = sum(map(hash, words)) & BITS
        self._expected += len(words)

    async def rest(self) -> None:
        pass

    def _compare(self, key: str, written: Written, version: Version) -> None:
        self._compared.add(key)
        if written.print != print_of(version.state):
            self._find(key, f"what is stored as of seq {written.seq} is not what the log folds to")

    # ---- when the log is folded

    async def finish(self, states: States) -> None:
        self._compare_written(states)
        await self._compare_messages()
        await self._compare_words()
        await self._compare_lists(states)

    def _compare_written(self, states: States) -> None:
        for key, written in self._written.items():
            version = states.get(key)
            if version is None:
                self._find(key, "it is stored, but no event is of it")
            elif version.seq == written.seq:
                self._compare(key, written, version)
            elif key not in self._compared:
                self._find(key, f"it is stored as of seq {written.seq}; its stream ends at {version.seq}")
        for key in self._changed - self._written.keys() - self._wrong:
            self._find(key, "it is not stored")

    async def _compare_messages(self) -> None:
        waiting = self._survey.last[:]
        with Progress("states compared", self._survey.head) as progress:
            async for row in self._rows(MESSAGE, BEHIND):
                began = self._survey.began(row.key)
                waiting[began] = 0
                state = self._read(row)
                if not began:
                    self._findings.add(row.key, "it is stored, but no event is of it")
                elif state and print_of(state) != self._prints[began]:
                    self._findings.add(row.key, "what is stored is not what the log folds to")
                progress.at(self.counts["states"])
        for position in (at for at, last in enumerate(waiting) if last):
            self._findings.add(await self._name(position), "it is not stored")

    async def _compare_words(self) -> None:
        after = ("", 0)
        with Progress("words compared", self._expected) as progress:
            while found := await self._node.store.read_words(after, WORDS):
                for word, position in found:
                    if 0 < position <= self._survey.head:
                        self._words[position] = (self._words[position] - hash(word)) & BITS
                    else:
                        await self._not_filed(position)
                after = found[-1]
                self.counts["words"] += len(found)
                progress.at(self.counts["words"])
        for position in (at for at, rest in enumerate(self._words) if rest):
            key = await self._name(position)
            self._findings.add(key, f"its words at position {position} are not those of its text")

    async def _not_filed(self, position: int) -> None:
        self._findings.add(await self._name(position), f"words are filed at position {position}, of no message")

    async def _compare_lists(self, states: States) -> None:
        expected = {(row.list, row.key): row.label for row in listed(states)}
        after = ("", "")
        while rows := await self._node.store.read_listed(after, PAGE):
            self.counts["listed"] += len(rows)
            for name, key, label in rows:
                if (right := expected.pop((name, key), None)) != label:
                    self._findings.add(key, f"on the list {name} it is {label!r}, and should be {right!r}")
            after = rows[-1][:2]
        for (name, key), label in expected.items():
            self._findings.add(key, f"on the list {name} it should be {label!r}, and is missing")

    async def _name(self, position: int) -> str:
        """The key of what an event is about."""
        rows = await self._node.store.read_log(position - 1, 1)
        return (rows[0].about if rows and rows[0].position == position else None) or f"position {position}"
