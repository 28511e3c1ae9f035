"""The world in which the laws are tried is worth trying them in: whatever can happen happens there."""

from collections import Counter
from random import Random

from chat.domain.errors import STATUS
from tests.laws.history import KINDS, Step, live

ELSEWHERE = {
    *("too_fast", "busy", "unavailable", "internal"),  # of the flow, not of a rule
    *("full", "too_large"),  # which take a crowd
    "closed",  # here, registration is open
    "barred",  # seldom: who was removed has to come back to the very room
}
STEPS = [step for seed in range(40) for step in live(Random(seed), 200).steps]


def kinds(steps: list[Step]) -> Counter[str]:
    return Counter(type(step.wish.command).__name__ for step in steps)


def test_every_command_is_carried_out() -> None:
    carried_out = kinds([step for step in STEPS if step.outcome.recorded])
    assert [kind.__name__ for kind in KINDS if not carried_out[kind.__name__]] == []


def test_as_much_is_carried_out_as_is_refused() -> None:
    carried_out = [step for step in STEPS if not step.outcome.refusal]
    assert 0.4 < len(carried_out) / len(STEPS) < 0.9


def test_every_refusal_that_takes_no_crowd_is_met() -> None:
    codes = {step.outcome.refusal.code for step in STEPS if step.outcome.refusal}
    assert codes >= set(STATUS) - ELSEWHERE


def test_a_seed_lives_the_same_history_again() -> None:
    assert repr(live(Random(7), 50)) == repr(live(Random(7), 50))
