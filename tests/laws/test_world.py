"""The world in which the laws are tried is worth trying them in: what can happen there does."""

from random import Random

import msgspec

from chat.domain.vocabulary import Command
from chat.logic.doors import UNREADABLE
from tests.laws.history import KINDS, live
from tests.logic.given import TABLES

SEEDS = range(12)
HISTORIES = [live(Random(seed), 150) for seed in SEEDS]


def test_every_command_is_wished_carried_out_and_refused() -> None:
    carried: dict[type[Command], int] = dict.fromkeys(KINDS, 0)
    for history in HISTORIES:
        for step in history.steps:
            carried[type(step.wish.command)] += bool(step.outcome.recorded)
    import collections

    refused = collections.Counter(
        (type(s.wish.command).__name__, s.outcome.refusal.code) for h in HISTORIES for s in h.steps if s.outcome.refusal
    )
    print({k.__name__: v for k, v in carried.items()})
    print(refused)
    assert [kind.__name__ for kind, times in carried.items() if not times] == []
