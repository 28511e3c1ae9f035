"""What is folded, written into new tables, and these put in the place of the old."""

from itertools import islice
from typing import Final

from chat.application.codec import FORMAT, encode
from chat.application.maintenance.comparison import listed
from chat.application.maintenance.fold import States
from chat.application.ports import Store
from chat.domain.log import StateRow, WordsRow
from chat.domain.vocabulary import State
from chat.logic.mediator import Version
from chat.logic.words import words_of

BATCH: Final = 5_000  # states written at once


class Anew:
    """Watches a fold, and writes every message when it is over, and everything else at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states: list[StateRow] = []
        self._words: list[WordsRow] = []

    async def start(self) -> None:
        await self._store.start_rebuild()

    def moves_on(self, key: str, version: Version) -> None:
        pass

    def is_changed(self, key: str, version: Version) -> None:
        pass

    def is_over(self, key: str, began: int, state: State) -> None:
        self._states.append(StateRow(key, 0, FORMAT, encode(state)))
        if words := words_of(key, state):
            self._words.append(WordsRow(key, began, (), words))

    async def rest(self) -> None:
        if len(self._states) >= BATCH:
            await self._write()

    async def _write(self) -> None:
        await self._store.write_rebuilt(self._states, self._words, ())
        self._states, self._words = [], []

    async def finish(self, states: States) -> None:
        await self._write()
        left = iter(states.items())
        while some := dict(islice(left, BATCH)):
            rows = [StateRow(key, each.seq, FORMAT, encode(each.state)) for key, each in some.items()]
            await self._store.write_rebuilt(rows, (), listed(some))
        await self._store.finish_rebuild()
