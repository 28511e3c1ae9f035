"""What other programs hear of: the events of rooms that are not direct, as clients get them."""

from typing import Final

from chat.domain.log import Entry
from chat.domain.programs import Publication
from chat.domain.rooms import Room
from chat.domain.vocabulary import RoomEvent, snake_case

DIRECT: Final = "direct"


def publication(entry: Entry, room: Room) -> Publication | None:
    """Of an event of this room; None of what is not for others."""
    event = entry.record.event
    assert isinstance(event, RoomEvent)
    if room.kind == DIRECT:
        return None
    name = snake_case(type(event).__name__)
    return Publication(
        routing_key=f"{name}.{event.room}",
        type=name,
        message_id=f"{event.room}:{event.seq}",
        position=entry.position,
        body=entry.encoded,
    )
