"""Who is there. It is no fact: nothing of this is logged or kept.

An account is online while it has a socket and for GRACE seconds after its last one. What changed is gathered and told
once a second.
"""

from collections.abc import Collection, Mapping
from typing import Final

GRACE: Final = 30.0
ROOM: Final = 100  # members of a room up to which presence is told

Seen = Mapping[str, float]  # when each account that counts as online last had a socket


def tick(seen: Seen, connected: Collection[str], now: float) -> tuple[Seen, list[str], list[str]]:
    """Who is seen now, and who came online and went offline since."""
    online = [account for account in connected if account not in seen]
    offline = [account for account, last in seen.items() if account not in connected and now - last > GRACE]
    gone = set(offline)
    still = {account: last for account, last in seen.items() if account not in gone}
    return still | dict.fromkeys(connected, now), online, offline
