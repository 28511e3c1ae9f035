"""How many sockets there may be, in all and of one account or address."""

import pytest

from chat.logic.crowd import Crowd, has_room


@pytest.mark.parametrize(
    ("crowd", "limited", "unlimited"),
    [
        (Crowd(0, 0, 0), True, True),
        (Crowd(9_999, 0, 0), True, True),
        (Crowd(10_000, 0, 0), False, False),
        (Crowd(5_000, 199, 2_499), True, True),
        (Crowd(5_000, 200, 0), False, True),
        (Crowd(5_000, 0, 2_500), False, True),
    ],
)
def test_nobody_holds_all_sockets(crowd: Crowd, limited: bool, unlimited: bool) -> None:
    assert has_room(crowd, 10_000, limited=True) is limited
    assert has_room(crowd, 10_000, limited=False) is unlimited


def test_where_few_are_allowed_one_address_may_have_them_all() -> None:
    assert has_room(Crowd(49, 49, 49), 50, limited=True)
    assert not has_room(Crowd(100, 0, 100), 200, limited=True)
