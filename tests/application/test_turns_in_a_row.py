"""Turn after turn: what belongs to the next one, and what is too much for one."""

import asyncio

import pytest

from chat.application import turn
from chat.application.turn import BATCH
from chat.domain.errors import Unavailable
from tests.application.fakes import until
from tests.application.test_turn import code, send, seq, tea


async def test_who_answers_at_once_what_a_turn_has_told_is_in_the_next_one_together() -> None:
    """Each of them by a socket of its own, that is read after the frames have gone out."""
    here, ann, bob, room = await tea()
    loop = asyncio.get_running_loop()
    answered: list[str] = []

    def say(who: str, number: int) -> None:
        here.node.submit(here.waiting(who, send(room, f"{who} {number}"), lambda _: hear(who, number)))

    def hear(who: str, number: int) -> None:
        answered.append(who)
        if number < 5 and who == ann:
            loop.call_soon(say, who, number + 1)
        elif number < 5:
            loop.call_soon(lambda: loop.call_soon(say, who, number + 1))

    running = asyncio.create_task(here.node.turns.run())
    before = here.node.counts.turns
    say(ann, 0)
    say(bob, 0)
    await until(lambda: len(answered) == 12)
    running.cancel()
    assert here.node.counts.turns - before == 6


async def test_turns_go_on_by_themselves_with_so_many_commands_each() -> None:
    here, ann, _, room = await tea()
    wishes = [here.waiting(ann, send(room, f"{number}"), lambda _: None) for number in range(BATCH + 10)]
    for waiting in wishes:
        here.node.turns.submit(waiting)
    here.faulty.calls.clear()
    running = asyncio.create_task(here.node.turns.run())
    await here.node.turns.idle()
    assert here.faulty.calls == ["begin", "commit"] * 2
    assert here.node.cursor.position == here.head
    running.cancel()
    await asyncio.wait([running])


async def test_commands_that_lead_to_very_many_events_are_committed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    here, ann, _, room = await tea()
    monkeypatch.setattr(turn, "EVENTS", 3)
    here.faulty.calls.clear()
    outcomes = await here.turn(*((ann, send(room, f"{number}")) for number in range(8)))
    assert [seq(outcome) for outcome in outcomes] == list(range(4, 12))
    assert here.faulty.calls == ["begin", "commit"] * 3
    assert here.node.cursor.position == here.head


async def test_the_part_of_a_turn_that_was_committed_stays_when_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, ann, _, room = await tea()
    monkeypatch.setattr(turn, "EVENTS", 2)
    here.faulty.faults["commit"] = [None, Unavailable("gone")]
    outcomes = await here.turn(*((ann, send(room, f"{number}")) for number in range(4)))
    assert [isinstance(outcome, bytes) for outcome in outcomes] == [True, True, False, False]
    assert {code(outcome) for outcome in outcomes[2:]} == {"unavailable"}
