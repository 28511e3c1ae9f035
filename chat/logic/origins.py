"""Which pages of the web may act here with somebody's cookie: the ones this server sent, or those that are named.

A browser says by `Origin` where a page came from, and by `Sec-Fetch-Site` whether that is here.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({"same-origin", "none"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
LOCAL = frozenset({"127.0.0.1", "[::1]", "localhost"})


class Asked(NamedTuple):
    """What a request says of itself. `cookie` tells that its credentials are a cookie, `secure` that it is known to
    have come by https.
    """

    method: str
    host: str
    origin: str | None
    fetch_site: str | None
    cookie: bool
    secure: bool = False


def is_rebound(host: str, listens_on: str, allowed: Collection[str], proxies: Collection[str]) -> bool:
    """Whether a name of somebody else's leads to this machine, so that a page of theirs counts as one from here (DNS
    rebinding). Whoever listens for this machine alone, and names neither pages nor proxies, has names of its own.
    """
    alone = listens_on in LOOPBACK and not allowed and not proxies
    return alone and re.sub(r":\d+\Z", "", host) not in LOCAL


def is_allowed(origin: str, host: str, allowed: Collection[str], *, secure: bool = False) -> bool:
    """Named in the settings or, where none are, of the very host and port that was asked. Who asks by https is not on
    a page that came by http, which anybody on the way could have written.
    """
    if allowed:
        return origin in allowed
    return origin == f"https://{host}" or (not secure and origin == f"http://{host}")


def may_write(asked: Asked, allowed: Collection[str]) -> bool:
    """Whether a request may change something; a program without a cookie may say nothing of where it is from."""
    if asked.method in SAFE or (asked.origin is None and not asked.cookie):
        return True
    if asked.fetch_site in OWN:
        return True
    return asked.origin is not None and is_allowed(asked.origin, asked.host, allowed, secure=asked.secure)


def may_connect(asked: Asked, allowed: Collection[str]) -> bool:
    """Whether a websocket may open: to a page of an allowed origin, or to a program that brings no cookie."""
    if asked.origin is None:
        return not asked.cookie
    return is_allowed(asked.origin, asked.host, allowed, secure=asked.secure)
