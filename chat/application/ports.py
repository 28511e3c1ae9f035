"""What the flow asks of the tools. They satisfy these Protocols by their shape; nothing here is inherited."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from chat.domain.log import (
    AnswerRow,
    Begun,
    Entry,
    Found,
    ListedRow,
    Loaded,
    LogInfo,
    LogRow,
    Rows,
    StateRow,
    WordsRow,
    Writes,
)
from chat.domain.programs import Letter, Publication, Reply


class Store(Protocol):
    """One log, and what is folded from it. Errors are `chat.domain.errors.StoreError`s, never a library's own."""

    async def open(self, epoch: str, form: int) -> LogInfo:
        """Open or create, and bring an older schema up to date. `epoch` and `form` (the format) are for a new log;
        a log of an older format is of this one from then on.

        Raises `Unusable` with a sentence that says what to do.
        """

    async def close(self) -> None: ...

    # A turn: begin, then any number of the two reads, then commit or abandon.

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        """Take the writer's lock, read the tail after `after`, who of (actor, id) was answered, and the states."""

    async def load_locked(self, keys: Sequence[str]) -> Loaded: ...

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        """Every event about these, in the log's order."""

    async def commit(self, writes: Writes) -> None:
        """Durably, or not at all. Raises `Poisoned` when the content is at fault, else `Unavailable`."""

    async def abandon(self) -> None:
        """Give the lock back. Never raises."""

    async def probe(self) -> None:
        """Write, durably, what changes nothing. Raises `Unavailable` when the store takes no writes."""

    # Reading beside turns, each from one consistent view of what was committed.

    async def load(self, keys: Sequence[str]) -> Loaded: ...

    async def read_log(self, after: int, limit: int) -> list[LogRow]: ...

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        """Events of one stream with after < seq <= upto."""

    async def find(self, rows: Sequence[Rows]) -> list[Found]: ...

    # The stream for other programs. One node at a time leads: it publishes, up to a position that is kept here.

    async def lead(self) -> int | None:
        """Begin or go on to lead: up to where everything is published, or None while another node leads. A leader has
        to ask again each second. Raises `Unavailable`: this node does not lead any more.
        """

    async def mark_published(self, position: int) -> None:
        """Everything up to there is published; never goes back. For the leader. Raises `Unavailable`: it is that no
        more.
        """

    async def resign(self) -> None:
        """Another node may lead at once. Never raises."""

    # For maintenance: what is folded, page by page in the order of its key, and a fold anew.

    async def read_info(self) -> LogInfo: ...

    async def write_epoch(self, epoch: str) -> None: ...

    async def tables(self) -> list[str]:
        """What can be checked one by one."""

    async def check_table(self, table: str) -> list[str]:
        """What is physically wrong with it, in not too many sentences. One long read: what is written meanwhile waits
        to be put in its place."""

    async def backup(self, target: str, tell: Callable[[int, int], None]) -> None:
        """Copy everything, as of one moment, to a file that can be opened by itself. `tell` hears on another thread
        how much is done, of how much. Cancelled, it leaves nothing.

        Raises `Unusable` with a sentence when the target cannot be, `Unavailable` when it cannot be written.
        """

    # `rebuilt` reads what is being built anew, between start and finish.

    async def read_states(self, after: str, limit: int, *, rebuilt: bool = False) -> list[StateRow]: ...

    async def read_listed(self, after: tuple[str, str], limit: int, *, rebuilt: bool = False) -> list[ListedRow]:
        """By list and key."""

    async def read_words(self, after: tuple[str, int], limit: int, *, rebuilt: bool = False) -> list[tuple[str, int]]:
        """Pairs of a word and a position where it is filed, in their order."""

    async def read_answers(self, after: tuple[str, str], limit: int) -> list[AnswerRow]:
        """By id and actor, behind these two."""

    async def start_rebuild(self) -> None:
        """Make empty tables beside those in use."""

    async def write_rebuilt(
        self, states: Sequence[StateRow], words: Sequence[WordsRow], listed: Sequence[ListedRow]
    ) -> None:
        """Fill them; words rows say their position."""

    async def finish_rebuild(self) -> None:
        """Put them in the place of those in use."""


class Listener(Protocol):
    """What a broker tells a node."""

    def missed(self) -> None:
        """Any news may have been lost: the connection is new, or something was told twice."""

    def hear(self, news: bytes) -> None:
        """What a node has rung; this one too."""

    async def carry_out(self, letter: Letter) -> Reply:
        """What another program asks for. It may take for as long as the store is away; cancelled, it may or may not be
        carried out, and is to be asked again. Raises nothing else.
        """


class Broker(Protocol):
    """Carries news between nodes, and to and from other programs. It may lose, repeat or shuffle news: the store is
    the truth.
    """

    @property
    def is_away(self) -> bool:
        """Whether what is rung now does not come back, as far as is known."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody may hear what is rung now. If not, it need not be."""

    @property
    def dropped(self) -> Counter[str]:
        """How many news were lost before they were sent, by the reason."""

    async def run(self, listener: Listener) -> None:
        """Connected whenever that can be, until cancelled. Raises nothing."""

    def ring(self, news: bytes) -> None:
        """Tell every node. Returns at once, never raises; what finds no room is lost."""

    async def publish(self, publications: Sequence[Publication]) -> int:
        """To other programs, in this order. How many of them, from the first on, are safe with the broker; fewer than
        all when it is away. Raises nothing.
        """


class Clock(Protocol):
    def now(self) -> str:
        """RFC 3339 in UTC with microseconds; never goes back, whatever is done to the machine's clock."""

    def seconds(self) -> float:
        """Of a clock that never goes back and starts anywhere."""


class Ids(Protocol):
    def fresh(self) -> str:
        """An id that nothing has yet, on any node; later ones sort behind earlier ones."""


class Passwords(Protocol):
    @property
    def pending(self) -> int:
        """How many wait to be hashed or verified, or are."""

    async def hash(self, password: str) -> str:
        """Raises `Refused` `busy` when too many wait."""

    async def verify(self, hashed: str, password: str) -> bool:
        """Also against no hash at all, in the same time. Raises `Refused` `busy`."""

    def close(self) -> None:
        """Give up what waits."""


class Tokens(Protocol):
    def draw(self) -> tuple[str, str]:
        """A new secret and its hash."""

    def derive(self, seed: str) -> tuple[str, str]:
        """The secret that everybody makes of this seed and nobody who does not know it, and its hash."""

    def hash(self, secret: str) -> str: ...

    def draw_password(self) -> str:
        """One that a person can type."""


class Socket(Protocol):
    """One connection, as the hub keeps it. What is said goes out in order, once a round of the event loop."""

    @property
    def account(self) -> str: ...

    @property
    def session(self) -> str: ...

    @property
    def rooms(self) -> Mapping[str, int]:
        """The account's rooms, each with the seq behind which the socket hears everything."""

    def say(self, payloads: Sequence[bytes]) -> None: ...

    def admit(self, hello: bytes) -> None:
        """The first frame, and after it what the hub kept aside since `enter`."""

    def hang_up(self, code: int, reason: str) -> None: ...


class Wire(Protocol):
    """A connection's own end: who reads its frames, and whether more are wanted."""

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was written."""

    def hang_up(self, code: int, reason: str) -> None: ...


class Hub(Protocol):
    """The sockets of this node."""

    @property
    def dropped(self) -> Counter[str]:
        """How many were sent away because they could not be told everything, by the reason."""

    @property
    def accounts(self) -> Collection[str]:
        """Those with a socket here."""

    def __len__(self) -> int: ...

    def has(self, socket: Any) -> bool: ...

    def count_of(self, account: str) -> int: ...

    def count_at(self, address: str) -> int: ...

    def enter(self, writer: Any, account: str, session: str, rooms: Mapping[str, int], address: str = "") -> Socket: ...

    def leave(self, socket: Any) -> None: ...

    def sockets(self) -> Sequence[Socket]: ...

    def unsent(self) -> int:
        """Bytes that all peers together have not taken yet."""

    def tell(self, entries: Sequence[Entry]) -> None: ...

    def say_room(self, room: str, payloads: Sequence[bytes], but: str = "") -> None: ...

    def flush(self) -> None: ...
