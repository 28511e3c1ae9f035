"""What happens in a world: wish after wish carried out by the rules alone, with nothing but dicts around them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chat.domain.accounts import LogIn, Register
from chat.domain.log import Recorded
from chat.domain.vocabulary import Command
from chat.logic.mediator import Tables, Version, advance, touched
from chat.logic.redaction import about, erases, redacted
from chat.logic.sessions import later
from tests.laws.world import Wish, look, wish
from tests.logic.given import NOBODY, NOW, TABLES, Given, Outcome

KINDS: Final[Sequence[type[Command]]] = sorted(TABLES.commands, key=lambda kind: kind.__name__)


class Step(NamedTuple):
    """One wish, the world before it, what it was carried out with, and what came of it."""

    wish: Wish
    before: Given
    beside: dict[str, Any]
    outcome: Outcome

    def __repr__(self) -> str:
        came = self.outcome.refusal or [record.event for record in self.outcome.recorded]
        return f"{self.outcome.actor}: {self.wish.command}\n        -> {came}"


class History(NamedTuple):
    steps: list[Step]

    def __repr__(self) -> str:
        return "\n    ".join(["", *map(repr, self.steps)])

    @property
    def log(self) -> list[Recorded]:
        return [record for step in self.steps for record in step.outcome.recorded]

    @property
    def end(self) -> Given:
        return self.steps[-1].outcome.world if self.steps else NOBODY


def live(chance: Random, steps: int) -> History:
    return History(list(happening(chance, steps)))


def happening(chance: Random, steps: int) -> Iterator[Step]:
    world = NOBODY
    for number in range(steps):
        wished = wish(chance, look(world.states), KINDS)
        step = carried_out(world, wished, number)
        world = step.outcome.world
        yield step


def carried_out(world: Given, wished: Wish, number: int) -> Step:
    """An hour after the one before; who registers or logs in acts for the account."""
    fresh = f"id{number}"
    beside = {
        "fresh": fresh,
        "now": later(NOW, timedelta(hours=number)),
        "session": wished.session,
        "registration": "open",
    }
    match wished.command:
        case Register():
            actor = fresh
        case LogIn() as command:
            actor = command.account
        case _:
            actor = wished.actor
    return Step(wished, world, beside, world.when(actor, wished.command, **beside))


def erased(log: Iterable[Recorded]) -> list[Recorded]:
    """The log as it stands once everything that was taken back is gone."""
    kept: list[Recorded] = []
    for record in log:
        if name := erases(record.event):
            kept = [gone(earlier) if about(earlier.event) == name else earlier for earlier in kept]
        kept.append(record)
    return kept


def gone(record: Recorded) -> Recorded:
    return replace(record, event=redacted(record.event))


def folded(log: Iterable[Recorded], tables: Tables = TABLES) -> dict[str, Version]:
    """Every state, from the log alone."""
    versions: dict[str, Version] = {}
    for record in log:
        for key in touched(tables, record):
            versions[key] = advance(tables, key, versions.get(key) or tables.initial(key), record)
    return versions


def _of_seed(seed: int, steps: int) -> History:
    return live(Random(seed), steps)


# A law is tried on this many histories, on a build machine always on the same ones. What fails is told by its seed
# and the fewest steps, which anybody can live again.
law = settings(max_examples=100, deadline=None, print_blob=True, derandomize="CI" in os.environ)
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(0, 100)
histories = st.builds(_of_seed, seeds, lengths)
