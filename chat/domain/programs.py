"""What goes between the chat and other programs, by way of a broker."""

from typing import NamedTuple


class Publication(NamedTuple):
    """An event for whoever cares to listen. `position` is its place in the log; the same event may be published again,
    with the same `message_id`."""

    routing_key: str
    type: str
    message_id: str
    position: int
    body: bytes


class Letter(NamedTuple):
    """A frame as on the websocket, and the token of the bot that sent it; either may be anything."""

    frame: bytes
    token: str


class Reply(NamedTuple):
    """A frame as on the websocket. What could not be read is put aside, for somebody to look at."""

    frame: bytes
    readable: bool = True
