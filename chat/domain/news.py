"""What nodes tell each other by way of a broker. None of it has to arrive: what lasts is in the log."""

from msgspec import Raw, Struct

from chat.domain.vocabulary import snake_case


class Told(Struct, frozen=True, array_like=True):
    """An event in its stream, encoded as it is stored."""

    stream: str
    seq: int
    event: Raw


class LogGrew(Struct, frozen=True, tag=snake_case):
    """A turn was committed to the log of this epoch, from the position `first` to `last`. Without events, they are to
    be read."""

    epoch: str
    format: int
    first: int
    last: int
    events: tuple[Told, ...] | None = None


class SomebodyTypes(Struct, frozen=True, tag=snake_case):
    node: str
    room: str
    account: str


class Connected(Struct, frozen=True, tag=snake_case):
    """All who have a socket on a node."""

    node: str
    accounts: tuple[str, ...]


class ConnectedChanged(Struct, frozen=True, tag=snake_case):
    """Who came to a node and went from it since it said something of the kind."""

    node: str
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()


News = LogGrew | SomebodyTypes | Connected | ConnectedChanged
