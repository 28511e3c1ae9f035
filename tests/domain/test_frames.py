"""What goes over a connection beside commands, queries and events."""

import msgspec
import pytest

from chat.domain.frames import (
    Acknowledgement,
    CaughtUp,
    Hello,
    Ping,
    PresenceTold,
    Reset,
    Resume,
    Typing,
    TypingTold,
)


@pytest.mark.parametrize(
    ("frame", "encoded"),
    [
        (
            Hello("e", {"id": "ann"}, [{"id": "tea"}], {"text": 1}),
            b'{"type":"hello","epoch":"e","account":{"id":"ann"},"rooms":[{"id":"tea"}],"limits":{"text":1}}',
        ),
        (TypingTold("tea", "ann"), b'{"type":"typing","room":"tea","account":"ann"}'),
        (PresenceTold("tea", ("ann",)), b'{"type":"presence","room":"tea","online":["ann"],"offline":[]}'),
        (CaughtUp("tea", 5), b'{"type":"caught_up","room":"tea","seq":5}'),
        (Reset("tea", 5, "epoch"), b'{"type":"reset","room":"tea","seq":5,"reason":"epoch"}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_frame_is_encoded_as_the_interface_says(frame: msgspec.Struct, encoded: bytes) -> None:
    assert msgspec.json.encode(frame) == encoded


@pytest.mark.parametrize(
    ("frame", "read"),
    [
        (b'{"type":"resume","epoch":"e","rooms":{"tea":5,"club":-1}}', Resume("e", {"tea": 5, "club": -1})),
        (b'{"type":"typing","room":"tea"}', Typing("tea")),
        (b'{"type":"ping"}', Ping()),
    ],
    ids=["resume", "typing", "ping"],
)
def test_a_frame_is_read_as_the_interface_says(frame: bytes, read: msgspec.Struct) -> None:
    assert msgspec.json.decode(frame, type=Resume | Typing | Ping) == read


def test_a_client_resumes_as_many_rooms_as_an_account_has() -> None:
    rooms = {f"r{number}": 1 for number in range(1_000)}
    assert msgspec.convert({"epoch": "e", "rooms": rooms}, Resume).rooms == rooms
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"epoch": "e", "rooms": rooms | {"more": 1}}, Resume)


def test_an_acknowledgement_says_only_what_is_new() -> None:
    assert msgspec.json.encode(Acknowledgement()) == b"{}"
    assert msgspec.json.encode(Acknowledgement(room="tea", seq=5)) == b'{"room":"tea","seq":5}'
