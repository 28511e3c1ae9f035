"""The sockets of this node, and who of them is in which room.

Rooms here are a fold like the states: set when a socket says hello, and changed only by events that pass the cursor. A
room's frames are framed and joined once for all its members, and each socket is written to once a round. A change of
membership cuts the joined frames; it is told to the members before and after it.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import structlog
from websockets.frames import Frame, Opcode

from chat.domain.accounts import SessionEnded
from chat.domain.log import Entry
from chat.domain.rooms import MemberAdded, MemberRemoved, RoomCreated
from chat.domain.vocabulary import AccountEvent, PrivateEvent, PublicEvent, RoomEvent

UNSENT: Final = 1024 * 1024  # bytes that a socket may lag behind before it is closed
HELD: Final = 4_096  # bundles kept aside for a socket that has not said hello yet
LAGGING: Final = 4008
UNAUTHENTICATED: Final = 4401

log = structlog.get_logger(__name__)


class Bundle:
    """Frames that go out together. A server does not mask (RFC 6455, 5.1), so all readers get the same bytes."""

    __slots__ = ("framed", "payloads")

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self.payloads = payloads
        self.framed = b"".join([_header(len(payload)) + payload for payload in payloads])


@lru_cache(maxsize=4_096)
def _header(length: int) -> bytes:
    """What stands before a text frame's payload: the same for every payload of this length."""
    return Frame(Opcode.TEXT, bytes(length)).serialize(mask=False)[: -length or None]


class Writer(Protocol):
    """The one way to a connection's peer. It refuses quietly once it was closed."""

    def write(self, bundles: Sequence[Bundle]) -> int:
        """How many bytes the peer has not taken yet, these included."""

    def unsent(self) -> int:
        """The same, of what was written before."""

    def hang_up(self, code: int, reason: str) -> None: ...


class Socket:
    """One connection of one session. Everything that is said to it goes out in the order in which it was said."""

    __slots__ = ("_hub", "_said", "_writer", "account", "address", "held", "rooms", "session")

    def __init__(self, hub: "Hub", writer: Writer, account: str, session: str, address: str) -> None:
        self.account = account
        self.session = session
        self.address = address
        self.rooms: dict[str, int] = {}  # the seq behind which it hears everything
        self.held: list[Bundle] | None = []
        self._hub = hub
        self._writer = writer
        self._said: list[Bundle] = []

    def say(self, payloads: Sequence[bytes]) -> None:
        """An answer, or anything else that concerns this socket alone."""
        self.tell(Bundle(payloads))

    def tell(self, bundle: Bundle) -> None:
        if self.held is not None:
            self._hold(bundle)
            return
        if not self._said:
            self._hub.to_flush(self)
        self._said.append(bundle)

    def _hold(self, bundle: Bundle) -> None:
        assert self.held is not None
        if len(self.held) < HELD:
            self.held.append(bundle)
        else:
            self._drop("held")

    def admit(self, hello: bytes) -> None:
        """Say hello, and then what was kept aside."""
        held, self.held = self.held or [], None
        for bundle in (Bundle((hello,)), *held):
            self.tell(bundle)

    def flush(self) -> None:
        said, self._said = self._said, []
        if self._writer.write(said) > UNSENT:
            self._drop("lagging")

    def _drop(self, reason: str) -> None:
        if self._hub.count_drop(self, reason):
            log.info("socket lags", account=self.account, reason=reason, unsent=self.unsent())
        self.hang_up(LAGGING, "lagging: resume")

    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._writer.unsent()

    def hang_up(self, code: int, reason: str) -> None:
        self._hub.leave(self)
        self._writer.hang_up(code, reason)


class Hub:
    def __init__(self) -> None:
        self._rooms: dict[str, set[Socket]] = {}
        self._accounts: dict[str, set[Socket]] = {}
        self._addresses: dict[str, set[Socket]] = {}
        self._unflushed: list[Socket] = []
        self._count = 0
        self.dropped: Counter[str] = Counter()  # sockets that could not be told everything, by the reason

    @property
    def accounts(self) -> Collection[str]:
        """Those with a socket here."""
        return self._accounts.keys()

    def __len__(self) -> int:
        return self._count

    def sockets(self) -> list[Socket]:
        return [socket for sockets in self._accounts.values() for socket in sockets]

    def unsent(self) -> int:
        """Bytes that all peers together have not taken yet."""
        return sum(socket.unsent() for socket in self.sockets())

    def of_account(self, account: str) -> list[Socket]:
        return list(self._accounts.get(account, ()))

    def has(self, socket: Socket) -> bool:
        return socket in self._accounts.get(socket.account, ())

    def count_of(self, account: str) -> int:
        return len(self._accounts.get(account, ()))

    def count_at(self, address: str) -> int:
        return len(self._addresses.get(address, ()))

    def enter(self, writer: Writer, account: str, session: str, rooms: Mapping[str, int], address: str = "") -> Socket:
        """A socket that hears from now on what its rooms are told, where these stand now; it is kept aside until
        `admit`.
        """
        socket = Socket(self, writer, account, session, address)
        self._accounts.setdefault(account, set()).add(socket)
        self._addresses.setdefault(address, set()).add(socket)
        self._count += 1
        for room, seq in rooms.items():
            self._join(socket, room, seq)
        return socket

    def leave(self, socket: Socket) -> None:
        """May be said twice."""
        for room in list(socket.rooms):
            self._part(socket, room)
        self._count -= _discard(self._accounts, socket.account, socket)
        _discard(self._addresses, socket.address, socket)

    def _join(self, socket: Socket, room: str, seq: int) -> None:
        socket.rooms[room] = seq
        self._rooms.setdefault(room, set()).add(socket)

    def _part(self, socket: Socket, room: str) -> None:
        socket.rooms.pop(room, None)
        _discard(self._rooms, room, socket)

    def tell(self, entries: Sequence[Entry]) -> None:
        """Events that passed the cursor, in order. What an account alone is told comes after the rooms that it may
        speak of.
        """
        runs: dict[str, list[bytes]] = {}
        own: list[tuple[str, bytes]] = []
        for entry in entries:
            match entry.record.event:
                case MemberAdded() | MemberRemoved() as event:
                    self._say_run(event.room, runs.pop(event.room, []))
                    self._change_members(event, entry.encoded)
                case RoomCreated(by=creator):
                    self.say_account(creator, (entry.encoded,))  # who is about to be its first member
                case RoomEvent(room=room):
                    runs.setdefault(room, []).append(entry.encoded)
                case SessionEnded() as event:
                    self._say_runs(runs, own)
                    self._end_session(event, entry.encoded)
                case PrivateEvent():
                    pass
                case PublicEvent():
                    self.say_everybody((entry.encoded,))
                case AccountEvent(account=account):
                    own.append((account, entry.encoded))
        self._say_runs(runs, own)

    def _say_runs(self, runs: dict[str, list[bytes]], own: list[tuple[str, bytes]]) -> None:
        """All that was gathered."""
        for room, run in runs.items():
            self._say_run(room, run)
        for account, encoded in own:
            self.say_account(account, (encoded,))
        runs.clear()
        own.clear()

    def _say_run(self, room: str, run: Sequence[bytes]) -> None:
        if run and (sockets := self._rooms.get(room)):
            _tell(sockets, Bundle(run))

    def _change_members(self, event: MemberAdded | MemberRemoved, encoded: bytes) -> None:
        """Both who was a member before and who is one after hear of it."""
        theirs = self._accounts.get(event.account, set())
        _tell(self._rooms.get(event.room, set()) | theirs, Bundle((encoded,)))
        for socket in list(theirs):
            if isinstance(event, MemberAdded):
                self._join(socket, event.room, event.seq - 1)
            else:
                self._part(socket, event.room)

    def _end_session(self, event: SessionEnded, encoded: bytes) -> None:
        """Its sockets hear no more from now on, and are closed once they have been answered."""
        self.say_account(event.account, (encoded,))
        for socket in self.of_account(event.account):
            if socket.session == event.session:
                self.leave(socket)
                asyncio.get_running_loop().call_soon(socket.hang_up, UNAUTHENTICATED, "the session has ended")

    def say_room(self, room: str, payloads: Sequence[bytes], but: str = "") -> None:
        """What is no event: presence, and who types. `but` is an account that need not hear of it."""
        sockets = self._rooms.get(room, ())
        _tell([socket for socket in sockets if socket.account != but], Bundle(payloads))

    def say_account(self, account: str, payloads: Sequence[bytes]) -> None:
        _tell(self._accounts.get(account, ()), Bundle(payloads))

    def say_everybody(self, payloads: Sequence[bytes]) -> None:
        _tell(self.sockets(), Bundle(payloads))

    def to_flush(self, socket: Socket) -> None:
        """It has something to say. All that do are written to once, when this round of the event loop is over."""
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unflushed.append(socket)

    def flush(self) -> None:
        unflushed, self._unflushed = self._unflushed, []
        for socket in unflushed:
            try:
                socket.flush()
            except Exception:  # what breaks for one must not keep the others waiting
                log.exception("a socket broke", account=socket.account)
                self.count_drop(socket, "broken")
                socket.hang_up(LAGGING, "resume")

    def count_drop(self, socket: Socket, reason: str) -> bool:
        """Once for each socket: one that has left already is no drop."""
        here = self.has(socket)
        self.dropped[reason] += here
        return here


def _tell(sockets: Iterable[Socket], bundle: Bundle) -> None:
    for socket in list(sockets):  # one whose bounds are reached leaves
        socket.tell(bundle)


def _discard(index: dict[str, set[Socket]], name: str, socket: Socket) -> bool:
    """Whether it was there."""
    sockets = index.get(name, set())
    there = socket in sockets
    sockets.discard(socket)
    if there and not sockets:
        del index[name]
    return there
