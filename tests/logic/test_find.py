"""What a query handler returns when the answer takes rows of the store."""

from chat.domain.log import Listed, Range
from chat.logic.find import Find
from tests.logic.given import NOBODY

RANGE = Range(first="room:a", last="room:z", limit=5)
LISTED = Listed(list="accounts")


def test_a_find_says_which_rows_and_what_to_make_of_them() -> None:
    find = Find((RANGE, LISTED), lambda found, context: [context.actor, *map(len, found)])
    assert find.rows == (RANGE, LISTED)
    assert find.then([[b"{}"], []], NOBODY.context("ann")) == ["ann", 1, 0]


def test_a_find_may_make_less_of_the_rows_of_each_at_once() -> None:
    find = Find((RANGE, LISTED), lambda found, _: sum(found), len)
    assert find.then([find.each([b"{}", b"{}"]), find.each([])], NOBODY.context("ann")) == 2
