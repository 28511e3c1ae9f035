"""What goes over a connection beside commands, queries and events."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from chat.domain.limits import ACCOUNT_ROOMS, Id, Integer
from chat.domain.vocabulary import snake_case


class Resume(Struct, frozen=True, tag=snake_case):
    """The last seq seen of each room, in the log of this epoch."""

    epoch: Annotated[str, Meta(max_length=64)]
    rooms: Annotated[dict[Id, Integer], Meta(max_length=ACCOUNT_ROOMS)]


class Typing(Struct, frozen=True, tag=snake_case):
    """Said by a client of itself, told to the others with its account."""

    room: Id


class Ping(Struct, frozen=True, tag=snake_case):
    pass


class Hello(Struct, frozen=True, tag=snake_case):
    """The first frame: where everything stands."""

    epoch: str
    account: dict[str, Any]
    rooms: list[dict[str, Any]]
    limits: dict[str, int]


class TypingTold(Struct, frozen=True, tag="typing"):
    room: str
    account: str


class PresenceTold(Struct, frozen=True, tag="presence"):
    room: str
    online: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()


class CaughtUp(Struct, frozen=True, tag=snake_case):
    """Everything up to `seq` has been told."""

    room: str
    seq: int


class Reset(Struct, frozen=True, tag=snake_case):
    """The events behind what was seen are not told: read a page instead. `reason` is one of
    epoch, ahead, too_many, not_found."""

    room: str
    seq: int
    reason: str


class Acknowledgement(Struct, frozen=True, omit_defaults=True):
    """What a command led to, in ids and seqs. `seq` is of its first event in `room`."""

    room: str | None = None
    seq: int | None = None
    account: str | None = None
    invite: str | None = None
    session: str | None = None
