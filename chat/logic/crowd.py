"""How many sockets there may be: in all, and of one account or address, so that none of them holds all."""

from typing import Final, NamedTuple

from chat.domain.limits import share_of_address

OF_ACCOUNT: Final = 200


class Crowd(NamedTuple):
    """The open sockets: of everybody, of the account that brings one more, and at its address."""

    all: int
    of_account: int
    at_address: int


def has_room(crowd: Crowd, sockets: int, *, limited: bool) -> bool:
    """For one more. `sockets` is the most in all; without `limited` nothing else counts."""
    if crowd.all >= sockets:
        return False
    return not limited or (crowd.of_account < OF_ACCOUNT and crowd.at_address < share_of_address(sockets))
