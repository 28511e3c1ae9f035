"""Who is there, and who is writing. Neither is a fact: nothing of this is logged or kept.

An account is online while it has a socket and for GRACE seconds after its last one. What changed is gathered and told
once a second. Somebody who types is told of at most once in TYPING_PAUSE seconds for each room.
"""

from collections.abc import Collection, Mapping
from typing import Final

GRACE: Final = 30.0
ROOM: Final = 100  # members of a room up to which presence is told
TYPING_PAUSE: Final = 3.0

Seen = Mapping[str, float]  # when each account that counts as online last had a socket


def tick(seen: Seen, connected: Collection[str], now: float) -> tuple[Seen, list[str], list[str]]:
    """Who is seen now, and who came online and went offline since."""
    online = [account for account in connected if account not in seen]
    offline = [account for account, last in seen.items() if account not in connected and now - last > GRACE]
    gone = set(offline)
    still = {account: last for account, last in seen.items() if account not in gone}
    return still | dict.fromkeys(connected, now), online, offline


def typing(
    told: Mapping[tuple[str, str], float], account: str, room: str, now: float
) -> tuple[Mapping[tuple[str, str], float], bool]:
    """Whether to tell that `account` types in `room`, and what was told in the last few seconds."""
    recent = {pair: at for pair, at in told.items() if now - at < TYPING_PAUSE}
    if (account, room) in recent:
        return recent, False
    return recent | {(account, room): now}, True
