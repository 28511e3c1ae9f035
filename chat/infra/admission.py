"""Who may come in: connections are counted, in all and for each address, from the first moment to the last.

There is room for so many in all, and an address has a share of it. Whoever comes beyond either is let in to be refused:
each request is answered with 503 or 429, so that clients know when to come back, and health checks are answered as
ever. Of one address REFUSED are, and those beyond them cut off before they say a word, or they would fill the house.
So is everybody else when it is full of them: files are finite, and a process that has none left can neither tell a
monitor so nor open its own pages. This machine's own connections, its health check among them, are cut off only when
the last file is gone; a few are kept for them.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple

from chat.domain.addresses import place_of, read_address
from chat.domain.limits import share_of_address

ROOM: Final = 1_000  # connections beside the websockets, for plain HTTP; and as many again to be refused
UNREAD: Final = 256  # answers of HTTP to one address that wait to be read, each as large as a page
REFUSED: Final = 32  # connections of one address that are let in to be refused; and those kept for this machine

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

    Whoever is refused or ended by the edge, and why, is counted in `dropped`.
    """

    def __init__(
        self, sockets: int, files: int | None = None, proxies: Iterable[str] = (), *, by_address: bool = True
    ) -> None:
        wanted = connections(sockets)
        self._most = wanted if files is None else min(wanted, files)
        refusable = ROOM if self._most == wanted else self._most // 10
        self._room = self._most - refusable
        self._few = min(REFUSED, refusable // 8)
        self._share = min(share_of_address(min(sockets, self._room)), self._room // 2)
        self._exempt = [ip_network(proxy) for proxy in proxies]
        self._by_address = by_address
        self._find = lru_cache(maxsize=4_096)(self._look_up)
        self.in_all = 0
        self.of_places: Counter[Entry] = Counter()
        self.unread: Counter[str] = Counter()  # answers by place
        self.dropped: Counter[str] = Counter()

    def enter(self, host: str | None) -> Entry:
        """Whoever enters has to leave, refused or not."""
        self.in_all += 1
        place, is_near = self._find(host or "")
        entry = Entry(place, self._verdict(place, is_near))
        if place:
            self.of_places[entry] += 1
        return entry

    def _look_up(self, host: str) -> tuple[str | None, bool]:
        """The place that it counts for, and whether it is this machine."""
        address = read_address(host)
        if address is None:
            return None, False
        is_exempt = not self._by_address or any(address in network for network in self._exempt)
        return None if is_exempt else place_of(host), address.is_loopback

    def _verdict(self, place: str | None, is_near: bool) -> str:
        if self.in_all > self._most - (0 if is_near else self._few):
            return CUT
        if self.in_all > self._room:
            verdict = FULL
        elif self._count(place, ADMITTED) >= self._share:
            verdict = CROWDED
        else:
            return ADMITTED
        is_cut = not is_near and self._count(place, FULL, CROWDED) >= self._few
        return CUT_ADDRESS if is_cut else verdict

    def leave_unread(self, entry: Entry) -> bool:
        """Whether one more answer to its address may wait to be read; `was_read` says that it is over."""
        if entry.place is None:
            return True
        if self.unread[entry.place] >= UNREAD:
            return False
        self.unread[entry.place] += 1
        return True

    def was_read(self, entry: Entry) -> None:
        if entry.place is not None:
            self.unread[entry.place] -= 1
            if not self.unread[entry.place]:
                del self.unread[entry.place]

    def _count(self, place: str | None, *verdicts: str) -> int:
        return sum(self.of_places[Entry(place, verdict)] for verdict in verdicts)

    def leave(self, entry: Entry) -> None:
        self.in_all -= 1
        if entry.place:
            self.of_places[entry] -= 1
            if not self.of_places[entry]:
                del self.of_places[entry]
