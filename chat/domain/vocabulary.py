"""The kinds of message, and of state, that everything else is made of.

A command is a wish, imperative, and can be refused; an event is a fact, past tense, and cannot; a query is a
question and changes nothing. Each is a frozen value, tagged on the wire by the snake case of its name:
`SendMessage` is `{"type":"send_message",…}`.

Who may hear of an event is told by its base: a `RoomEvent` its room's members, an `AccountEvent` that account's own
connections, a `PublicEvent` every connection, a `PrivateEvent` nobody. An event belongs to one stream. Rules leave
`seq`, `at` and `by` alone: `stamped` fills them in when the event is recorded.

Values hold values, never each other in a circle, so the garbage collector need not look at them (`gc=False`).
"""

import re
from typing import Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from chat.domain.limits import CommandId

Role = Literal["member", "admin", "owner"]  # of a room, and of the server
Kind = Literal["public", "private", "direct"]


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Command(Struct, frozen=True, kw_only=True, tag=snake_case, gc=False):
    """A wish. `id` is the sender's own: asked again with it, the first answer comes again."""

    id: CommandId = ""


class Query(Struct, frozen=True, kw_only=True, tag=snake_case, gc=False):
    """A question. `id` comes back with the answer."""

    id: CommandId = ""


class State(Struct, frozen=True, kw_only=True, gc=False):
    """What the rules need to know of one key; without arguments, what is known of a key never written."""


class Event(Struct, frozen=True, kw_only=True, tag=snake_case, gc=False):
    """A fact. `at` is RFC 3339 in UTC with microseconds, `by` the account that wished it."""

    at: str = ""
    by: str = ""

    @property
    def stream(self) -> str:
        raise AttributeError(f"{type(self).__name__} belongs to no stream")

    def stamped(self, seq: int, at: str, by: str) -> Self:
        return replace(self, at=at, by=by)


class RoomEvent(Event, frozen=True, kw_only=True):
    """Told to the members of `room`, numbered by `seq` within it without a gap, and resumable."""

    room: str = ""
    seq: int = 0

    @property
    def stream(self) -> str:
        return f"room:{self.room}"

    def stamped(self, seq: int, at: str, by: str) -> Self:
        return replace(self, seq=seq, at=at, by=by)


class AccountEvent(Event, frozen=True, kw_only=True):
    """Told to the connections of `account` alone."""

    account: str = ""

    @property
    def stream(self) -> str:
        return f"account:{self.account}"


class PublicEvent(AccountEvent, frozen=True, kw_only=True):
    """Of one account, told to every connection."""


class PrivateEvent(AccountEvent, frozen=True, kw_only=True):
    """Of one account, told to nobody."""
