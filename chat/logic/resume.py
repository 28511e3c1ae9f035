"""Resuming: what a client that was away is told of each room, so that it has no hole it does not know of.

Streams are numbered without a gap, so what somebody missed is counted without reading it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from chat.domain import limits
from chat.domain.frames import Reset, Resume

LOOKS: Final = 20  # rooms that are asked of for the price of a question


class Tell(NamedTuple):
    """The events of a room with after < seq <= upto, and then that this is all."""

    room: str
    after: int
    upto: int


def plan(resume: Resume, epoch: str, hello: Mapping[str, int], now: Mapping[str, int]) -> list[Tell | Reset]:
    """One step for each room that is asked of.

    `hello` has the seqs that the connection's hello named, `now` the present ones of the asker's rooms. What came after
    hello was told as it happened.
    """
    steps: list[Tell | Reset] = []
    budget = limits.RESUME_ALL
    for room, seen in resume.rooms.items():
        step = _step(room, max(seen, 0), resume.epoch == epoch, hello, now, budget)
        if isinstance(step, Tell):
            budget -= max(0, step.upto - step.after)
        steps.append(step)
    return steps


def cost(steps: Sequence[Tell | Reset]) -> float:
    """In questions, each of which may read a page; to look at a room costs less."""
    missed = sum(max(0, step.upto - step.after) for step in steps if isinstance(step, Tell))
    return 1 + missed / limits.PAGE + len(steps) / LOOKS


def _step(
    room: str, seen: int, same_epoch: bool, hello: Mapping[str, int], now: Mapping[str, int], budget: int
) -> Tell | Reset:
    if room not in now:
        return Reset(room, 0, "not_found")
    upto = hello.get(room, now[room])
    if not same_epoch:
        return Reset(room, upto, "epoch")
    if seen > now[room]:
        return Reset(room, upto, "ahead")
    if upto - seen > min(limits.RESUME_ROOM, budget):
        return Reset(room, upto, "too_many")
    return Tell(room, seen, upto)
