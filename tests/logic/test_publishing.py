"""What other programs hear of."""

from typing import Any

import msgspec

from chat.domain.log import Entry, Recorded
from chat.domain.messages import MessageSent
from chat.domain.programs import Publication
from chat.domain.rooms import MemberAdded, Room
from chat.domain.vocabulary import Event, RoomEvent, snake_case
from chat.logic.publishing import publication
from tests.logic.given import TABLES


def entry(event: Event) -> Entry:
    stamped = event.stamped(7, "2026-01-31T12:00:00.000000Z", "ann")
    return Entry(42, Recorded(stamped.stream, 7, stamped), b"as it is stored")


def test_an_event_is_published_by_its_name_and_room_as_it_is_stored() -> None:
    for kind in ("public", "private"):
        assert publication(entry(MessageSent(room="tea", author="ann", text="hi")), Room(kind=kind)) == Publication(
            routing_key="message_sent.tea",
            type="message_sent",
            message_id="tea:7",
            position=42,
            body=b"as it is stored",
        )


def test_what_happens_in_a_direct_room_is_nobody_elses_business() -> None:
    for event in (
        MessageSent(room="tea", author="ann", text="hi"),
        MemberAdded(room="tea", account="ann", role="member"),
    ):
        assert publication(entry(event), Room(kind="direct")) is None


def test_every_event_of_a_room_has_a_name_of_its_own() -> None:
    kinds = [kind for kind in TABLES.events if issubclass(kind, RoomEvent)]
    beside: dict[str, Any] = {"title": "x", "kind": "public", "account": "ann", "role": "member", "message": 1}
    beside |= {"emoji": "x", "author": "ann", "text": "x"}
    events = [msgspec.convert({"type": snake_case(kind.__name__), "room": "tea", **beside}, kind) for kind in kinds]
    published = [publication(entry(event), Room(kind="public")) for event in events]
    assert len({each.routing_key for each in published if each}) == len(kinds) == 14
