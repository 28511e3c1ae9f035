"""A room as a value."""

import msgspec
import pytest

from chat.domain.rooms import CreateRoom, Direct, Room, RoomCreated


def test_a_room_never_written_is_of_no_kind() -> None:
    assert Room() == Room(title="", kind="", archived=False, members={}, barred=(), pins=(), last=0)
    assert Direct().room == ""


def test_a_room_is_stored_and_read_again_with_its_members_in_order() -> None:
    room = Room(title="Tea", kind="public", members={"cat": "owner", "ann": "member"}, pins=(5, 3), last=7)
    found = msgspec.json.decode(msgspec.json.encode(room), type=Room)
    assert found == room
    assert list(found.members) == ["cat", "ann"]


def test_only_a_direct_room_is_between_two() -> None:
    public = RoomCreated(room="tea", title="Tea", kind="public")
    direct = RoomCreated(room="pair", title="", kind="direct", between=("ann", "bob"))
    assert b"between" not in msgspec.json.encode(public)
    assert msgspec.json.decode(msgspec.json.encode(direct))["between"] == ["ann", "bob"]


@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_room_is_created_of_a_kind(kind: str) -> None:
    found = msgspec.convert({"title": "Tea", "kind": kind}, CreateRoom)
    assert (found.kind, found.members) == (kind, ())
