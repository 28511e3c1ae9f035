"""Told the same, every store answers the same: the one in memory is the measure, and chance does the telling."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from chat.application.ports import Store
from chat.domain.errors import Poisoned
from chat.domain.log import (
    AnswerRow,
    Erasure,
    Holding,
    Listed,
    ListedRow,
    LogRow,
    Range,
    Rows,
    StateRow,
    WordsRow,
    Writes,
)
from chat.infra.stores.memory import MemoryStore
from tests.infra.stores.conftest import POSTGRESQL, new_store
from tests.infra.stores.given import everything, key

ROOMS = ("a", "b", "ü")
WORDS = ("red", "green", "größe", "日", "room:a", "room:b", "room:ü", "author:x-1")
IDS = tuple(("actor", str(number)) for number in range(40))


class Chance:
    """Turns that follow one another, now and then with something wrong in them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seqs = dict.fromkeys(ROOMS, 0)
        self.head = 0
        self.held: dict[str, tuple[str, ...]] = {}

    def turn(self) -> Writes:
        random = self.random
        log = [self.event() for _ in range(random.randrange(4))]
        abouts = sorted({row.about for row in log if row.about} | self.held.keys())
        touched = random.sample(abouts, min(len(abouts), random.randrange(4)))
        return Writes(
            log=tuple(log),
            states=tuple(StateRow(key, random.randrange(9), 1, random.randbytes(5)) for key in touched),
            words=tuple(self.words(key) for key in touched),
            listed=tuple(
                ListedRow("rooms", random.choice(ROOMS), random.choice((None, "art", "zoo", "größe")))
                for _ in range(random.randrange(3))
            ),
            answers=tuple(AnswerRow(*random.choice(IDS), random.randbytes(3)) for _ in range(random.randrange(2))),
            erasures=tuple(Erasure(random.randint(1, self.head + 1), b"gone") for _ in range(random.randrange(2))),
        )

    def event(self) -> LogRow:
        room = self.random.choice(ROOMS)
        self.head += 1
        self.seqs[room] += self.random.random() > 0.02  # else its place is taken
        about = key(self.random.randint(1, self.seqs[room] or 1), room) if self.random.random() < 0.8 else None
        return LogRow(self.head, f"room:{room}", self.seqs[room], about, self.random.randbytes(6))

    def words(self, of: str) -> WordsRow:
        before, after = self.held.get(of, ()), tuple(self.random.sample(WORDS, self.random.randrange(5)))
        self.held[of] = after
        return WordsRow(of, 0, before, after)

    def questions(self) -> list[Rows]:
        random = self.random
        low, high = sorted((random.randrange(9), random.randrange(9)))
        room = random.choice(ROOMS)
        some = tuple(random.sample(WORDS, random.randrange(3)))
        groups = tuple(tuple(random.sample(WORDS, random.randint(1, 3))) for _ in range(random.randrange(3)))
        before = random.choice((None, random.randint(0, self.head + 1)))
        after = random.choice((("", ""), ("art", "a"), ("art", "ü"), ("größe", "")))
        return [
            Range(first=key(low, room), last=key(high, room), limit=random.randint(1, 5), newest=low % 2 == 0),
            Holding(words=some, among=groups, before=before, limit=random.randint(1, 5)),
            Listed(list="rooms", text=random.choice(("", "r", "ö", "x")), after=after, limit=random.randint(1, 5)),
        ]


async def outcome(store: Store, after: int, writes: Writes) -> tuple[Any, ...]:
    streams = [f"room:{room}" for room in ROOMS]
    begun = await store.begin(after, IDS, streams)
    about = await store.read_about([key(1, room) for room in ROOMS])
    try:
        await store.commit(writes)
    except Poisoned:
        return begun, about, "poisoned"
    return begun, about, "committed"


@pytest.mark.parametrize("kind", ["sqlite", POSTGRESQL])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_stores_agree(tmp_path: Path, seed: int, kind: str) -> None:
    measure, other = MemoryStore(), new_store(kind, tmp_path)
    chance = Chance(seed)
    await measure.open("epoch", 1)
    await other.open("epoch", 1)
    ended = []
    for _ in range(40):
        seqs, head, held = dict(chance.seqs), chance.head, dict(chance.held)
        writes = chance.turn()
        after = chance.random.randint(0, head)
        happened = await outcome(measure, after, writes)
        assert await outcome(other, after, writes) == happened
        ended.append(happened[-1])
        if happened[-1] == "poisoned":
            chance.seqs, chance.head, chance.held = seqs, head, held
        assert await everything(other) == await everything(measure)
        questions = chance.questions()
        assert await other.find(questions) == await measure.find(questions)
        keys = [*chance.held, *(f"room:{room}" for room in ROOMS)]
        assert await other.load(keys) == await measure.load(keys)
    assert {"poisoned", "committed"} == set(ended)
    await other.close()
