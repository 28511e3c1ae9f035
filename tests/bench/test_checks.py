"""What is lost, doubled or out of order is found, whatever is measured."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from tests.bench.checks import check_page, check_requests, check_resume, check_talk

NOTHING: Final = dict.fromkeys(("refused", "closed", "disordered", "doubled", "behind", "wrong", "resets"), 0)
TALK: Final = {"open": 2, "sent": 5, "acknowledged": 5, "logged": 5, "heard": 10, "to_hear": 10, **NOTHING}
SENDS: Final = {"asked": 5, "answered": 5, "logged": 5, **NOTHING}
RESUME: Final = {"sent": 5, "acknowledged": 5, "caught_up": 2, "heard": 9, "to_hear": 9, **NOTHING}

CHECKS: Final[dict[str, tuple[Callable[[dict[str, Any]], None], dict[str, int]]]] = {
    "talk": (partial(check_talk, sockets=2), TALK),
    "sends": (partial(check_requests, sent=True), SENDS),
    "resume": (partial(check_resume, clients=2), RESUME),
}
EVERY: Final = [(name, figure) for name, (_, sound) in CHECKS.items() for figure in sound]


@pytest.mark.parametrize(("name", "figure"), EVERY, ids=lambda word: word)
def test_one_too_many_of_anything_is_wrong(name: str, figure: str) -> None:
    check, sound = CHECKS[name]
    check(sound)
    with pytest.raises(AssertionError):
        check({**sound, figure: sound[figure] + 1})


def test_who_only_reads_leaves_nothing_in_the_log() -> None:
    check_requests({**SENDS, "logged": 0}, sent=False)
    with pytest.raises(AssertionError):
        check_requests(SENDS, sent=False)


def test_a_page_with_a_gap_is_wrong() -> None:
    check_page({"messages": [{"seq": 4}, {"seq": 5}]}, 2)
    with pytest.raises(AssertionError):
        check_page({"messages": [{"seq": 4}, {"seq": 6}]}, 2)
