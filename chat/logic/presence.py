"""Who is there. It is no fact: nothing of this is logged or kept.

An account is online while it has a socket, on whatever node, and for GRACE seconds after its last one. What changed is
gathered and told once a second. Nodes tell each other who is connected to them; one that says nothing for EXPIRES
seconds is taken for dead, and nobody counts as connected to it.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

GRACE: Final = 30.0
EXPIRES: Final = 30.0
ROOM: Final = 100  # members of a room up to which presence is told
NODES: Final = 100  # that are remembered; what one more says is not heard

Seen = Mapping[str, float]  # when each account that counts as online last had a socket


class There(NamedTuple):
    """Who is connected to another node, as far as it said, and when it said something last."""

    accounts: frozenset[str]
    heard: float


Elsewhere = Mapping[str, There]  # by node


def tick(seen: Seen, connected: Collection[str], now: float) -> tuple[Seen, list[str], list[str]]:
    """Who is seen now, and who came online and went offline since."""
    online = [account for account in connected if account not in seen]
    offline = [account for account, last in seen.items() if account not in connected and now - last > GRACE]
    gone = set(offline)
    still = {account: last for account, last in seen.items() if account not in gone}
    return still | dict.fromkeys(connected, now), online, offline


def hear(elsewhere: Elsewhere, node: str, there: Collection[str], now: float) -> Elsewhere:
    """A node said who is connected to it, all of them."""
    living = expired(elsewhere, now)
    if node not in living and len(living) >= NODES:
        return living
    return {**living, node: There(frozenset(there), now)}


def hear_change(elsewhere: Elsewhere, node: str, came: Collection[str], went: Collection[str], now: float) -> Elsewhere:
    """A node said who came and went since it spoke last. What one says that nobody knows yet is not heard."""
    if node not in elsewhere:
        return elsewhere
    there = (elsewhere[node].accounts - frozenset(went)) | frozenset(came)
    return {**elsewhere, node: There(there, now)}


def expired(elsewhere: Elsewhere, now: float) -> Elsewhere:
    """Without those that are taken for dead."""
    return {node: there for node, there in elsewhere.items() if now - there.heard <= EXPIRES}


def everywhere(here: Collection[str], elsewhere: Elsewhere) -> Collection[str]:
    """Who has a socket on any node."""
    return set(here).union(*(there.accounts for there in elsewhere.values())) if elsewhere else here
