"""Who may come in: connections are counted, in all and for each address, from the first moment to the last.

One beyond the bounds is let in to be refused: each request on it is answered with 503 or 429, so that clients know when
to come back, and health checks are answered as ever. One far beyond them is cut off before it says a word: files are
finite, and a process that has none left can neither tell a monitor so nor open its own pages.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

ROOM: Final = 1_000  # connections beside the websockets, for plain HTTP; and as many again to be refused
LEAST: Final = 100  # connections that an address may have, however few there may be in all

ADMITTED: Final = ""
FULL: Final = "refused_in_all"
CROWDED: Final = "refused_address"
CUT: Final = "cut_in_all"
CUT_ADDRESS: Final = "cut_address"


def connections(sockets: int) -> int:
    """The most that may be open for `sockets` websockets, those that are let in to be refused included."""
    return sockets + 2 * ROOM


class Entry(NamedTuple):
    """One connection's. Without a place it counts for no address."""

    place: str | None
    verdict: str


class Admission:
    """`files` are those that the system lets connections have: with few of them every bound is lower. Of `proxies` many
    people come from one address, so they are exempt from what an address may have, and their forwarded addresses are
    looked at further in; `by_address` being False exempts everybody.
    """

    def __init__(
        self, sockets: int, files: int | None = None, proxies: Iterable[str] = (), *, by_address: bool = True
    ) -> None:
        wanted = connections(sockets)
        self._most = wanted if files is None else min(wanted, files)
        self._room = ROOM if self._most == wanted else self._most // 10  # for those that are let in to be refused
        self._of_one = max(LEAST, sockets // 4)
        self._exempt = [ip_network(proxy) for proxy in proxies]
        self._by_address = by_address
        self._place = lru_cache(maxsize=4_096)(lambda host: place_of(host, self._exempt))
        self.in_all = 0
        self.of_places: dict[str, int] = {}

    def enter(self, host: str | None) -> Entry:
        """Whoever enters has to leave, refused or not."""
        self.in_all += 1
        place = self._place(host) if host and self._by_address else None
        here = 0
        if place:
            here = self.of_places[place] = self.of_places.get(place, 0) + 1
        return Entry(place, self._verdict(here))

    def _verdict(self, here: int) -> str:
        if self.in_all > self._most:
            return CUT
        if here > self._of_one + self._room:  # or those that one address keeps being refused would fill the house
            return CUT_ADDRESS
        if self.in_all > self._most - self._room:
            return FULL
        return CROWDED if here > self._of_one else ADMITTED

    def leave(self, entry: Entry) -> None:
        self.in_all -= 1
        if entry.place:
            left = self.of_places[entry.place] - 1
            if left:
                self.of_places[entry.place] = left
            else:
                del self.of_places[entry.place]


def place_of(host: str, exempt: Iterable[IPv4Network | IPv6Network] = ()) -> str | None:
    """What counts as one address: of IPv4 each, of IPv6 a /64, which is what one connection to the Internet is given.
    None for the exempt, and for what is no address.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in exempt):
        return None
    return str(ip_network(f"{address}/64", strict=False)) if isinstance(address, IPv6Address) else str(address)
