"""How many sockets there may be: in all, and of one account or address, so that none of them holds all."""

from typing import Final, NamedTuple

OF_ACCOUNT: Final = 200
AT_ADDRESS: Final = 100  # at least; else a quarter of all


class Crowd(NamedTuple):
    """The open sockets: of everybody, of the account that brings one more, and at its address."""

    all: int
    of_account: int
    at_address: int


def has_room(crowd: Crowd, sockets: int, *, limited: bool) -> bool:
    """For one more. `sockets` is the most in all; without `limited` nothing else counts."""
    if crowd.all >= sockets:
        return False
    return not limited or (crowd.of_account < OF_ACCOUNT and crowd.at_address < max(AT_ADDRESS, sockets // 4))
