"""The websocket session, sans I/O: a frame comes in, and what to do about it comes out.

    receive(talk, frame) -> (talk, deed)

A command or query needs an `id`, by which its answer is known. What cannot be read is refused and, when it becomes a
flood, ends the session; so does a flood of what needs no id. A session with UNANSWERED questions open is not read from
until one is answered.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chat.domain.errors import Refused, content_of
from chat.domain.frames import Ping, Resume, Typing
from chat.domain.vocabulary import Command, Query
from chat.logic.doors import UNREADABLE, id_in, malformed
from chat.logic.rates import CHATTER, MALFORMED, Bucket, full, take

UNANSWERED: Final = 64

UNAUTHENTICATED: Final = 4401
LAGGING: Final = 4008
TOO_MANY: Final = 4429
RESTARTING: Final = 1012
FLOOD: Final = 1008
TOO_LARGE: Final = 1009

PONG: Final = b'{"type":"pong"}'

_encode = msgspec.json.Encoder().encode


class Submit(Struct, frozen=True):
    command: Command


class Ask(Struct, frozen=True):
    query: Query


class Replay(Struct, frozen=True):
    resume: Resume


class TellTyping(Struct, frozen=True):
    room: str


class Say(Struct, frozen=True):
    frame: bytes


class HangUp(Struct, frozen=True):
    code: int
    reason: str


Deed = Submit | Ask | Replay | TellTyping | Say | HangUp


class Talk(Struct, frozen=True):
    """What a session remembers from frame to frame."""

    unanswered: int
    unreadable: Bucket
    chatter: Bucket

    @property
    def listening(self) -> bool:
        return self.unanswered < UNANSWERED


def begin(now: float) -> Talk:
    return Talk(0, full(MALFORMED, now), full(CHATTER, now))


def receive(decoder: "msgspec.json.Decoder[Any]", talk: Talk, frame: bytes, now: float) -> tuple[Talk, Deed]:
    try:
        message = decoder.decode(frame)
    except UNREADABLE as error:
        return _refuse(talk, frame, malformed(error), now)
    match message:
        case Command() | Query():
            if not message.id:
                return _refuse(talk, frame, Refused("malformed", "It needs an id.", field="id"), now)
            return _asked(talk), Submit(message) if isinstance(message, Command) else Ask(message)
        case Resume():
            return _asked(talk), Replay(message)
        case Typing():
            return _chat(talk, TellTyping(message.room), now)
        case Ping():
            return _chat(talk, Say(PONG), now)
        case _:
            raise TypeError(f"no deed for {type(message).__name__}")


def _asked(talk: Talk) -> Talk:
    return replace(talk, unanswered=talk.unanswered + 1)


def answered(talk: Talk) -> Talk:
    return replace(talk, unanswered=talk.unanswered - 1)


def _chat(talk: Talk, deed: Deed, now: float) -> tuple[Talk, Deed]:
    """The deed, unless there were too many of its kind."""
    bucket, wait = take(talk.chatter, CHATTER, now)
    return replace(talk, chatter=bucket), HangUp(FLOOD, "too many frames without an id") if wait else deed


def _refuse(talk: Talk, frame: bytes, refusal: Refused, now: float) -> tuple[Talk, Deed]:
    bucket, wait = take(talk.unreadable, MALFORMED, now)
    deed = HangUp(FLOOD, "too many frames that cannot be read") if wait else Say(refused(id_in(frame), refusal))
    return replace(talk, unreadable=bucket), deed


def come_back_in(index: int, of: int) -> int:
    """Milliseconds that one of so many who are sent away should wait: no more than 2,000 come back in a second."""
    return 500 + index * max(1_000, of // 2) // of


def ack(name: str, acknowledgement: bytes) -> bytes:
    """The frame of an acknowledgement that stands as JSON already."""
    head = b'{"type":"ack","id":' + _encode(name)
    return head + b"}" if acknowledgement == b"{}" else head + b"," + acknowledgement[1:]


def answer(name: str, content: Any) -> bytes:
    return _encode({"type": "answer", "id": name, "answer": content})


def refused(name: str | None, refusal: Refused) -> bytes:
    return _encode({"type": "refused"} | ({"id": name} if name else {}) | content_of(refusal))
