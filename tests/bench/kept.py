"""Whether what was acknowledged is there, on whatever store: the messages in the pages of all rooms are counted."""

from contextlib import closing
from typing import Final

from tests.bench.asker import Asker, asker_of
from tests.bench.ground import Running

PAGE: Final = 100


def check_kept(running: Running, rooms: int, messages: int) -> None:
    """In so many rooms there are so many messages."""
    kept: dict[str, int] = {}
    for account in range(len(running.tokens.read_text().split())):
        if len(kept) < rooms:
            with closing(asker_of(running, account)) as asker:
                new = {room["id"] for room in asker.ask("list_rooms")["rooms"]} - kept.keys()
                kept |= {room: messages_in(asker, room) for room in new}
    found = sum(kept.values())
    assert found == messages, f"there are {found:,} messages, and {messages:,} were acknowledged"


def messages_in(asker: Asker, room: str) -> int:
    count, last, more = 0, 0, True
    while more:
        page = asker.ask("list_messages", room=room, after=last, limit=PAGE)
        found, more = page["messages"], page["more"]
        count, last = count + len(found), found[-1]["seq"] if found else last
    return count
