"""Resuming: whoever was away is told all that they missed, once, or that they have to read a page."""

import asyncio
from itertools import count
from typing import Any

import pytest

from tests.client import Account, Talk
from tests.running import Server

NUMBERS = count()


async def resumed(talk: Talk, rooms: dict[str, int], epoch: str | None = None) -> dict[str, dict[str, Any]]:
    """How each room ends: with caught_up or a reset."""
    hello = talk.heard[0] if talk.heard else await talk.until(type="hello")
    await talk.say("resume", epoch=epoch or hello["epoch"], rooms=rooms)
    ends: dict[str, dict[str, Any]] = {}
    while ends.keys() != rooms.keys():
        frame = await talk.next()
        if frame["type"] in ("caught_up", "reset"):
            ends[frame["room"]] = {name: value for name, value in frame.items() if name != "room"}
    return ends


async def fill(account: Account, room: str, messages: int, text: str = "hi") -> int:
    """So many messages, as fast as they are taken. Returns the last one's seq."""
    async with Talk(account) as talk:
        acks = asyncio.create_task(heard(talk, "ack", messages))
        for _ in range(messages):
            await talk.say("send_message", id=f"{next(NUMBERS):09}", room=room, text=text)
        return int((await acks)[-1]["seq"])


async def heard(talk: Talk, type: str, times: int) -> list[dict[str, Any]]:
    return [await talk.until(type=type) for _ in range(times)]


@pytest.fixture(scope="module")
def history(ann: Account, bob: Account, cat: Account) -> tuple[str, int]:
    """A room with a bit of everything, and its last seq."""
    room = ann.do("create_room", title="History", kind="private", members=[bob.id])["room"]
    first = ann.do("send_message", room=room, text="one")["seq"]
    bob.do("add_reaction", room=room, message=first, emoji="👍")
    ann.do("rename_room", room=room, title="More history")
    ann.do("add_member", room=room, account=cat.id)
    cat.do("send_message", room=room, text="two")
    ann.do("delete_message", room=room, message=first)
    ann.do("remove_member", room=room, account=cat.id)
    return room, ann.do("send_message", room=room, text="three")["seq"]


async def test_at_every_cut_of_a_history_what_is_missing_is_told(bob: Account, history: tuple[str, int]) -> None:
    room, last = history
    for cut in range(-3, last + 1):
        async with Talk(bob) as talk:
            assert await resumed(talk, {room: cut}) == {room: {"type": "caught_up", "seq": last}}
            assert talk.events(room) == list(range(max(cut, 0) + 1, last + 1))
            assert all({"at", "by", "type"} <= frame.keys() for frame in talk.heard if "by" in frame)


async def test_events_are_told_again_as_they_were_told_first(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Twice", kind="private", members=[bob.id])["room"]
    async with Talk(bob) as first:
        await first.until(type="hello")
        await fill(ann, room, 5, "hello @bob")
        ann.do("pin_message", room=room, message=4)
        await first.until(type="message_pinned")
    async with Talk(bob) as again:
        await resumed(again, {room: 3})
    live, told = ([frame for frame in talk.heard if "by" in frame and "seq" in frame] for talk in (first, again))
    assert live == told


async def test_another_history_and_one_that_lies_ahead_are_reset(bob: Account, history: tuple[str, int]) -> None:
    room, last = history
    async with Talk(bob) as talk:
        await talk.until(type="hello")
        assert await resumed(talk, {room: 2}, "another epoch") == {
            room: {"type": "reset", "seq": last, "reason": "epoch"}
        }
        for seq in (last + 1, 2**53 - 1):
            assert await resumed(talk, {room: seq}) == {room: {"type": "reset", "seq": last, "reason": "ahead"}}
        assert talk.events(room) == []


async def test_a_room_that_one_is_not_in_is_not_found(
    cat: Account, dan: Account, ann: Account, history: tuple[str, int]
) -> None:
    public = ann.do("create_room", title="Public", kind="public")["room"]
    async with Talk(dan) as talk:
        ends = await resumed(talk, {history[0]: 0, public: 0, "nowhere": 0})
        assert {(end["type"], end["reason"]) for end in ends.values()} == {("reset", "not_found")}
    async with Talk(cat) as talk:  # was in it once
        assert (await resumed(talk, {history[0]: 0}))[history[0]]["reason"] == "not_found"
        assert talk.events(history[0]) == []


async def test_rooms_are_told_one_after_the_other(ann: Account, bob: Account) -> None:
    rooms = [ann.do("create_room", title=f"{n}", kind="private", members=[bob.id])["room"] for n in range(3)]
    async with Talk(bob) as talk:
        ends = await resumed(talk, dict.fromkeys(rooms, 0))
        assert set(ends) == set(rooms)
        marks = [frame["room"] for frame in talk.heard if frame.get("room")]
        assert marks == [room for room in rooms for _ in range(4)]  # its three events, and caught_up


async def test_live_events_go_on_meanwhile_and_none_is_doubled(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Live", kind="private", members=[bob.id])["room"]
    before = await fill(ann, room, 500)
    async with Talk(bob) as talk:
        hello = await talk.until(type="hello")
        sending = asyncio.create_task(fill(ann, room, 200))
        ends = await resumed(talk, {room: 0}, hello["epoch"])
        last = await sending
        while talk.events(room)[-1] != last and last not in talk.events(room):
            await talk.next()
    assert ends[room] == {"type": "caught_up", "seq": before}
    assert sorted(talk.events(room)) == list(range(1, last + 1))
    assert [seq for seq in talk.events(room) if seq <= before] == list(range(1, before + 1))
    assert [seq for seq in talk.events(room) if seq > before] == list(range(before + 1, last + 1))


async def test_a_room_that_one_came_to_after_hello_is_told_up_to_there(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Late", kind="private")["room"]
    await fill(ann, room, 3)
    async with Talk(bob) as talk:
        await talk.until(type="hello")
        ann.do("add_member", room=room, account=bob.id)
        ann.do("send_message", room=room, text="welcome")
        await talk.until(type="message_sent", room=room)
        assert talk.events(room) == [6, 7]
        assert await resumed(talk, {room: 0}) == {room: {"type": "caught_up", "seq": 5}}
        assert sorted(talk.events(room)) == list(range(1, 8))


async def test_who_came_back_after_hello_has_no_hole(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Back", kind="private", members=[bob.id])["room"]
    async with Talk(bob) as talk:
        await talk.until(type="hello")
        ann.do("remove_member", room=room, account=bob.id)
        await fill(ann, room, 2)
        ann.do("add_member", room=room, account=bob.id)
        await talk.until(type="member_added", room=room)
        assert talk.events(room) == [4, 7]
        await resumed(talk, {room: 4})
        assert sorted(talk.events(room)) == [4, 5, 6, 7]


async def test_more_than_1000_missed_in_a_room_are_not_told(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Long", kind="private", members=[bob.id])["room"]
    last = await fill(ann, room, 1_010)
    async with Talk(bob) as talk:
        assert (await resumed(talk, {room: last - 1_000}))[room] == {"type": "caught_up", "seq": last}
        assert talk.events(room) == list(range(last - 999, last + 1))
        assert (await resumed(talk, {room: last - 1_001}))[room] == {"type": "reset", "seq": last, "reason": "too_many"}


async def test_more_than_5000_missed_in_all_are_not_told(ann: Account, bob: Account) -> None:
    rooms = [ann.do("create_room", title=f"{n}", kind="private", members=[bob.id])["room"] for n in range(6)]
    for room in rooms:
        assert await fill(ann, room, 997) == 1_000
    async with Talk(bob) as talk:
        ends = await resumed(talk, dict.fromkeys(rooms, 0))
        assert [ends[room]["type"] for room in rooms] == ["caught_up"] * 5 + ["reset"]
        assert ends[rooms[5]] == {"type": "reset", "seq": 1_000, "reason": "too_many"}
        assert [len(talk.events(room)) for room in rooms] == [1_000] * 5 + [0]


async def test_long_messages_are_told_as_fast_as_they_are_read(server: Server, ann: Account, bob: Account) -> None:
    """All that was missed is far more than a socket may lag behind."""
    room = ann.do("create_room", title="Large", kind="private", members=[bob.id])["room"]
    for _ in range(3):
        last = await fill(ann, room, 30, "€" * 8_000)
    async with Talk(bob, max_queue=1) as talk:
        assert (await resumed(talk, {room: 0}))[room] == {"type": "caught_up", "seq": last}
        assert talk.events(room) == list(range(1, last + 1))


async def test_a_resume_that_is_malformed_is_refused(ann: Account) -> None:
    async with Talk(ann) as talk:
        for epoch, rooms in ((1, {}), ("e", {"x": "1"}), ("e", {"x": 2**53}), ("e", [])):
            await talk.say("resume", epoch=epoch, rooms=rooms)
            assert (await talk.until(type="refused"))["code"] == "malformed"
        await talk.say("resume", epoch="e", rooms={})
        await talk.say("ping")
        await talk.until(type="pong")
    assert not {"caught_up", "reset"} & {frame["type"] for frame in talk.heard}
