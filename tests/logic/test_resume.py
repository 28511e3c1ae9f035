"""What a client that was away is told of each room."""

import pytest

from chat.domain import limits
from chat.domain.frames import Reset, Resume
from chat.logic.resume import Tell, cost, plan


def told(seen: int, hello: int = 10, now: int = 10, epoch: str = "e") -> Tell | Reset:
    (step,) = plan(Resume(epoch, {"tea": seen}), "e", {"tea": hello}, {"tea": now})
    return step


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (0, Tell("tea", 0, 10)),
        (9, Tell("tea", 9, 10)),
        (10, Tell("tea", 10, 10)),
        (-1, Tell("tea", 0, 10)),
        (11, Reset("tea", 10, "ahead")),
    ],
)
def test_what_was_missed_is_told_up_to_hello(seen: int, step: Tell | Reset) -> None:
    assert told(seen) == step


def test_what_came_after_hello_was_told_as_it_happened() -> None:
    assert told(seen=5, hello=8, now=10) == Tell("tea", 5, 8)
    assert told(seen=9, hello=8, now=10) == Tell("tea", 9, 8)
    assert told(seen=11, hello=8, now=10) == Reset("tea", 8, "ahead")


def test_a_room_that_came_after_hello_is_told_up_to_now() -> None:
    assert plan(Resume("e", {"tea": 0}), "e", {}, {"tea": 3}) == [Tell("tea", 0, 3)]


def test_another_history_is_read_anew() -> None:
    assert told(5, epoch="other") == Reset("tea", 10, "epoch")


def test_a_room_of_others_is_not_found() -> None:
    assert plan(Resume("e", {"club": 5}), "e", {"club": 7}, {"tea": 10}) == [Reset("club", 0, "not_found")]


def test_so_much_is_told_of_a_room_and_no_more() -> None:
    most = limits.RESUME_ROOM
    assert told(0, hello=most, now=most) == Tell("tea", 0, most)
    assert told(0, hello=most + 1, now=most + 1) == Reset("tea", most + 1, "too_many")


def test_so_much_is_told_in_all_and_no_more() -> None:
    seqs = {f"r{number}": limits.RESUME_ROOM for number in range(5)} | {"last": 1, "none": 1}
    steps = plan(Resume("e", dict.fromkeys(seqs, 0) | {"none": 1}), "e", seqs, seqs)
    assert steps[:5] == [Tell(f"r{number}", 0, limits.RESUME_ROOM) for number in range(5)]
    assert steps[5:] == [Reset("last", 1, "too_many"), Tell("none", 1, 1)]


def test_a_room_that_is_too_much_leaves_the_others_their_share() -> None:
    seqs = {"large": limits.RESUME_ROOM + 1, "small": 5}
    steps = plan(Resume("e", dict.fromkeys(seqs, 0)), "e", seqs, seqs)
    assert steps == [Reset("large", limits.RESUME_ROOM + 1, "too_many"), Tell("small", 0, 5)]


def test_a_resume_costs_what_it_reads() -> None:
    assert cost([]) == 1
    assert cost([Reset("tea", 3, "epoch"), Tell("club", 5, 5), Tell("late", 9, 7), Tell("new", 0, 0)]) == 1.2
    assert cost([Tell("tea", 0, 1_000), Tell("club", 10, 60)]) == 11.6
    assert cost([Reset("tea", 0, "not_found")] * 1_000) == 51
