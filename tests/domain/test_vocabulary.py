"""The kinds of message, and what each knows of itself."""

import msgspec
import pytest

from chat.domain.messages import MessageSent, SendMessage
from chat.domain.rooms import RoomArchived, ShowRoom
from chat.domain.vocabulary import (
    AccountEvent,
    Event,
    PrivateEvent,
    PublicEvent,
    RoomEvent,
    snake_case,
)


@pytest.mark.parametrize(
    ("name", "tag"),
    [("SendMessage", "send_message"), ("Me", "me"), ("WhoIsOnline", "who_is_online"), ("", "")],
)
def test_a_message_is_called_by_the_snake_case_of_its_name(name: str, tag: str) -> None:
    assert snake_case(name) == tag


def test_a_message_is_tagged_on_the_wire() -> None:
    assert msgspec.json.encode(SendMessage(room="tea", text="hi", id="1")) == (
        b'{"type":"send_message","id":"1","room":"tea","text":"hi","reply_to":null}'
    )
    assert msgspec.json.decode(msgspec.json.encode(ShowRoom(room="tea")))["type"] == "room"


def test_an_event_of_a_room_is_encoded_as_a_client_gets_it() -> None:
    event = MessageSent(room="tea", author="ann", text="hi").stamped(5, "2026-01-31T12:00:00.000000Z", "ann")
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "type": "message_sent",
        "room": "tea",
        "seq": 5,
        "at": "2026-01-31T12:00:00.000000Z",
        "by": "ann",
        "author": "ann",
        "text": "hi",
        "mentions": [],
    }


def test_an_event_belongs_to_the_stream_of_its_base() -> None:
    assert RoomEvent(room="tea").stream == "room:tea"
    for base in (AccountEvent, PublicEvent, PrivateEvent):
        assert base(account="ann").stream == "account:ann"


def test_an_event_of_nothing_belongs_to_no_stream() -> None:
    with pytest.raises(AttributeError, match="Event belongs to no stream"):
        _ = Event().stream


def test_only_rooms_number_their_events_in_the_open() -> None:
    assert RoomArchived(room="tea").stamped(5, "now", "ann") == RoomArchived(room="tea", seq=5, at="now", by="ann")
    assert PublicEvent(account="ann").stamped(5, "now", "bob") == PublicEvent(account="ann", at="now", by="bob")


def test_a_value_does_not_change() -> None:
    with pytest.raises(AttributeError):
        SendMessage(room="tea", text="hi").text = "ho"  # type: ignore[misc]
