"""Every limit on what people may send, in one place, and the types that carry them.

Decoding is validating: a value of one of these types is within its limit, so no rule checks a length again.
Lengths are in Unicode code points, sizes in bytes, and integers stay below 2^53 so that every JSON reader,
and every store, holds them exactly. Text never holds a NUL, which PostgreSQL cannot store.
"""

from typing import Annotated, Final

from msgspec import Meta

TEXT: Final = 8_000  # characters of a message
TITLE: Final = 80  # characters of a room's title
NAME: Final = 32  # characters of an account's name
PASSWORD_LEAST: Final = 8
PASSWORD: Final = 256
EMOJI: Final = 32
INTEGER: Final = 2**53

BODY: Final = 64 * 1024  # bytes of a frame or a request body that comes in
FRAME: Final = 256 * 1024  # bytes of a frame that goes out; a page stops short of it

ROOM_MEMBERS: Final = 10_000
FIRST_MEMBERS: Final = 100  # members that a room can be created with
ACCOUNT_ROOMS: Final = 1_000
ACCOUNT_SESSIONS: Final = 50  # the oldest ends when another starts
ACCOUNT_INVITES: Final = 1_000  # uses of one invitation
SESSION_DAYS: Final = 90
INVITE_HOURS: Final = 24 * 7
MENTIONS: Final = 20  # names resolved in one text
UNREAD: Final = 100  # unread messages, and mentions, are counted up to this
REACTION_KINDS: Final = 20
REACTIONS: Final = 1_000  # of all kinds on one message
PINS: Final = 100
EDITS: Final = 100
PAGE: Final = 100
RESUME_ROOM: Final = 1_000  # events replayed to one room
RESUME_ALL: Final = 5_000  # events replayed in one resume

ADDRESS_SOCKETS: Final = 100  # connections that an address may have, however few there may be in all


def share_of_address(sockets: int) -> int:
    """Connections that one address may have, where there may be `sockets` in all: so that none of them has all."""
    return max(ADDRESS_SOCKETS, sockets // 4)


# \A … \Z with one run after one class: linear however the text is made.
_VISIBLE: Final = r"\A\s*[^\s\x00][^\x00]*\Z"

CommandId = Annotated[str, Meta(max_length=64, pattern=r"\A[\x20-\x7e]*\Z")]
Id = Annotated[str, Meta(max_length=64, pattern=r"\A[A-Za-z0-9_.-]+\Z")]
Text = Annotated[str, Meta(max_length=TEXT, pattern=_VISIBLE)]
Title = Annotated[str, Meta(max_length=TITLE, pattern=_VISIBLE)]
# Without the fillers of Hangul, which are letters that nobody sees.
Name = Annotated[str, Meta(max_length=NAME, pattern=r"\A(?:(?![\u115f\u1160\u3164\uffa0])[\w.\-])+\Z")]
Words = Annotated[str, Meta(max_length=TITLE, pattern=r"\A[^\x00]*\Z")]
Emoji = Annotated[str, Meta(max_length=EMOJI, pattern=r"\A[^\s\x00-\x1f\x7f]+\Z")]
NewPassword = Annotated[str, Meta(min_length=PASSWORD_LEAST, max_length=PASSWORD)]
Password = Annotated[str, Meta(max_length=PASSWORD)]
Secret = Annotated[str, Meta(max_length=PASSWORD)]
Seq = Annotated[int, Meta(ge=1, lt=INTEGER)]
Integer = Annotated[int, Meta(gt=-INTEGER, lt=INTEGER)]
PageLength = Annotated[int, Meta(ge=1, le=PAGE)]
FirstMembers = Annotated[tuple[Id, ...], Meta(max_length=FIRST_MEMBERS)]
Uses = Annotated[int, Meta(ge=1, le=ACCOUNT_INVITES)]
Hours = Annotated[int, Meta(ge=1, le=24 * 365)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=PAGE)]

PUBLISHED: Final = {
    "text": TEXT,
    "title": TITLE,
    "name": NAME,
    "password_least": PASSWORD_LEAST,
    "frame": BODY,
    "room_members": ROOM_MEMBERS,
    "first_members": FIRST_MEMBERS,
    "rooms": ACCOUNT_ROOMS,
    "sessions": ACCOUNT_SESSIONS,
    "reaction_kinds": REACTION_KINDS,
    "pins": PINS,
    "edits": EDITS,
    "page": PAGE,
    "unread": UNREAD,
}
