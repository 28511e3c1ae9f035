"""Deciding is pure: it may be tried, repeated and thrown away."""

from collections.abc import Iterable, Mapping
from random import Random

import msgspec
from hypothesis import given

from chat.domain.errors import STATUS
from chat.domain.log import Recorded
from chat.logic.mediator import EVENTS, Context, Draft, Missing, Version, decide, touched
from tests.laws.history import History, Step, happening, histories, law, lengths, seeds
from tests.logic.given import TABLES, Given

ROUNDS = 8  # in which whatever is missing has to be found


def encoded(world: Given) -> dict[str, bytes]:
    return {key: msgspec.json.encode(state) for key, state in world.states.items()}


def streams(log: Iterable[Recorded]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in log:
        found.setdefault(record.stream, []).append(record.seq)
    return found


@law
@given(seeds, lengths)
def test_what_stands_is_never_changed_in_its_place(seed: int, steps: int) -> None:
    """Neither by a command that is refused nor by one that is carried out."""
    stood: dict[str, bytes] = {}
    for step in happening(Random(seed), steps):
        assert encoded(step.before) == stood
        stood = encoded(step.outcome.world)


@law
@given(histories)
def test_a_refused_command_changes_nothing(history: History) -> None:
    for step in history.steps:
        if step.outcome.refusal:
            assert step.outcome.refusal.code in STATUS
            assert step.outcome.world == step.before


@law
@given(histories)
def test_a_command_changes_only_what_its_events_touch(history: History) -> None:
    for step in history.steps:
        after, before = step.outcome.world.versions, step.before.versions
        changed = {key for key in after if after[key] is not before.get(key)}
        assert changed <= {key for record in step.outcome.recorded for key in touched(TABLES, record)}
        assert len(step.outcome.recorded) <= EVENTS


@law
@given(histories)
def test_every_stream_is_numbered_without_a_gap(history: History) -> None:
    for stream, seqs in streams(history.log).items():
        assert seqs == list(range(1, len(seqs) + 1))
        assert history.end.versions[stream].seq == len(seqs)


@law
@given(histories)
def test_an_event_is_stamped_with_who_wished_it_and_when(history: History) -> None:
    for step in history.steps:
        for record in step.outcome.recorded:
            assert (record.event.by, record.event.at) == (step.outcome.actor, step.beside["now"])
            assert getattr(record.event, "seq", record.seq) == record.seq


@law
@given(histories)
def test_what_is_missing_is_found_in_a_few_rounds(history: History) -> None:
    """Deciding on what little is at hand ends as deciding on everything does."""
    for step in history.steps:
        if not step.outcome.refusal:
            assert in_rounds(step) == step.outcome.recorded


def in_rounds(step: Step) -> list[Recorded] | None:
    """From nothing at hand; each round loads what the one before it missed."""
    at_hand: dict[str, Version] = {}
    for _ in range(ROUNDS):
        context = Context(states=Draft(at_hand), actor=step.outcome.actor, **step.beside)
        try:
            return decide(TABLES, step.wish.command, context)[1]
        except Missing as stopped:
            at_hand |= loaded(stopped.keys, step.before.versions)
    return None


def loaded(keys: Iterable[str], versions: Mapping[str, Version]) -> dict[str, Version]:
    return {key: versions.get(key) or TABLES.initial(key) for key in keys}
