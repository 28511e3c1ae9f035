"""Resuming from every place that one can name: what comes is all that was missed, exactly as others heard it then, or
`reset` says that it does not; never a hole that nobody speaks of, and never a word of a room that one is not in.

The small history is asked for from every seq there is and several that there are not; the rooms that one cannot see in
every way not to see a room.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from typing import Any, Final, NamedTuple

import pytest

from tests.client import Account, Talk, register
from tests.running import Server, running

MOST: Final = 2**53 - 1
EVENTS: Final = 30  # of the small history, and a few more
FEW: Final = 15  # malformed frames: fewer than a socket is closed for

Frame = dict[str, Any]
_numbers = count()


@pytest.fixture(scope="module", params=["memory:", "sqlite:chat.db"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, "--registration", "open", "--rate", "0", database=request.param) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


class World(NamedTuple):
    """Bob's rooms, and those that are none of his; what was told in each, as those who were there heard it."""

    ann: Account
    bob: Account
    rooms: dict[str, str]  # by what they are
    told: dict[str, dict[int, Frame]]  # by room and seq

    def head(self, name: str) -> int:
        return max(self.told[self.rooms[name]])


OWN: Final = ("history", "archived", "direct", "quiet")
NONE_OF_HIS: Final = ("private", "public", "left", "removed", "closed to him", "unknown")


@pytest.fixture(scope="module")
async def world(server: Server) -> World:
    ann, bob, cat = (register(server.address, f"{name}{next(_numbers)}") for name in ("ann", "bob", "cat"))
    async with Talk(ann) as talk:
        await talk.until(type="hello")
        rooms = {
            "history": ann.do("create_room", title="History", kind="private", members=[bob.id])["room"],
            "archived": ann.do("create_room", title="Archived", kind="public", members=[bob.id])["room"],
            "direct": ann.do("open_direct", account=bob.id)["room"],
            "quiet": ann.do("create_room", title="Quiet", kind="private", members=[bob.id])["room"],
            "private": ann.do("create_room", title="Private", kind="private", members=[cat.id])["room"],
            "public": ann.do("create_room", title="Public", kind="public")["room"],
            "left": ann.do("create_room", title="Left", kind="private", members=[bob.id])["room"],
            "removed": ann.do("create_room", title="Removed", kind="public", members=[bob.id])["room"],
            "closed to him": ann.do("open_direct", account=cat.id)["room"],
            "unknown": "nowhere",
        }
        for room in [room for name, room in rooms.items() if name not in ("quiet", "unknown")]:
            for _ in range(3):
                ann.do("send_message", room=room, text=f"only for those who are in {room}")
        bob.do("leave_room", room=rooms["left"])
        ann.do("remove_member", room=rooms["removed"], account=bob.id)
        await a_bit_of_everything(ann, bob, cat, rooms["history"])
        ann.do("archive_room", room=rooms["archived"])
        await talk.until(type="room_archived")
    told: dict[str, dict[int, Frame]] = defaultdict(dict)
    for frame in talk.heard:
        if is_event(frame):
            told[frame["room"]][frame["seq"]] = frame
    for events in told.values():
        assert sorted(events) == list(range(1, len(events) + 1))
    return World(ann, bob, rooms, told)


async def a_bit_of_everything(ann: Account, bob: Account, cat: Account, room: str) -> None:
    ann.do("add_member", room=room, account=cat.id)
    ann.do("change_role", room=room, account=cat.id, role="admin")
    cat.do("rename_room", room=room, title="More history")
    for number in range((EVENTS - 10) // 4):
        seq = (ann, bob, cat)[number % 3].do("send_message", room=room, text=f"@{bob.name} {number}")["seq"]
        bob.do("add_reaction", room=room, message=seq, emoji="👍")
        ann.do("pin_message", room=room, message=seq)
        bob.do("remove_reaction", room=room, message=seq, emoji="👍")
    ann.do("remove_member", room=room, account=cat.id)


def is_event(frame: Frame) -> bool:
    return "by" in frame and "seq" in frame and "room" in frame


# ---- asking, and hearing it out


async def hear(talk: Talk) -> Frame:
    """The next frame that is no news of who came or went."""
    while (frame := await talk.next())["type"] in ("presence", "account_registered"):
        pass
    return frame


async def resume(
    talk: Talk, rooms: Mapping[str, int], epoch: str | None = None
) -> tuple[dict[str, Frame], list[Frame]]:
    """How each room ended, and the events that came before that. Nothing else happens meanwhile."""
    hello = talk.heard[0] if talk.heard else await talk.until(type="hello")
    await talk.say("resume", epoch=epoch if epoch is not None else hello["epoch"], rooms=dict(rooms))
    ends: dict[str, Frame] = {}
    events: list[Frame] = []
    while ends.keys() != rooms.keys():
        frame = await hear(talk)
        if frame["type"] in ("caught_up", "reset"):
            assert frame["room"] not in ends, "a room ends once"
            ends[frame["room"]] = frame
        elif is_event(frame):
            assert frame["room"] in rooms.keys() - ends.keys(), "a room's events come before its end"
            events.append(frame)
    await talk.say("ping")
    assert (await hear(talk))["type"] == "pong", "and nothing comes behind it"
    return ends, events


def is_complete(world: World, name: str, seen: int, ends: Mapping[str, Frame], events: list[Frame]) -> None:
    """What was missed since `seen` came, all of it and as it was."""
    room, last = world.rooms[name], world.head(name)
    assert ends[room] == {"type": "caught_up", "room": room, "seq": last}
    missed = [world.told[room][seq] for seq in range(max(seen, 0) + 1, last + 1)]
    assert [event for event in events if event["room"] == room] == missed


def is_reset(reason: str, room: str, last: int, ends: Mapping[str, Frame], events: list[Frame]) -> None:
    assert ends[room] == {"type": "reset", "room": room, "seq": last, "reason": reason}
    assert not [event for event in events if event["room"] == room]


# ---- one room


async def test_from_every_seq_there_is_all_that_was_missed_is_told(world: World) -> None:
    last = world.head("history")
    assert last >= EVENTS
    async with Talk(world.bob) as same:
        for seq in [-MOST, -(2**31), -2, -1, *range(last + 1)]:
            async with Talk(world.bob) as new:
                for talk in (same, new):
                    ends, events = await resume(talk, {world.rooms["history"]: seq})
                    is_complete(world, "history", seq, ends, events)


async def test_from_a_seq_that_is_yet_to_come_it_is_reset(world: World) -> None:
    last = world.head("history")
    async with Talk(world.bob) as talk:
        for seq in (last + 1, last + 2, last + 1_000, 2**31 - 1, 2**31, 2**32, MOST - 1, MOST):
            ends, events = await resume(talk, {world.rooms["history"]: seq})
            is_reset("ahead", world.rooms["history"], last, ends, events)


async def test_of_another_history_nothing_is_told(world: World) -> None:
    last = world.head("history")
    async with Talk(world.bob) as talk:
        epoch = (await talk.until(type="hello"))["epoch"]
        for other in ("", " ", "other", epoch[:-1], epoch + "0", epoch.upper() + "x", "é" * 64):
            for seq in (-1, 0, 1, last, last + 1, MOST):
                ends, events = await resume(talk, {world.rooms["history"]: seq}, other)
                is_reset("epoch", world.rooms["history"], last, ends, events)


async def test_twice_in_a_row_is_told_twice(world: World) -> None:
    """The second one is said before the first is answered."""
    rooms = {world.rooms["history"]: 2, world.rooms["direct"]: 0}
    async with Talk(world.bob) as talk:
        epoch = (await talk.until(type="hello"))["epoch"]
        for _ in range(3):
            await talk.say("resume", epoch=epoch, rooms=rooms)
        heard = [[await hear(talk) for _ in range(expected(world, rooms))] for _ in range(3)]
        assert heard[0] == heard[1] == heard[2]
        ends = {frame["room"]: frame for frame in heard[0] if frame["type"] == "caught_up"}
        for name in ("history", "direct"):
            is_complete(world, name, rooms[world.rooms[name]], ends, [each for each in heard[0] if is_event(each)])


def expected(world: World, rooms: Mapping[str, int]) -> int:
    return sum(len(world.told[room]) - seen + 1 for room, seen in rooms.items())


# ---- rooms that are none of one's own


@pytest.mark.parametrize("name", NONE_OF_HIS)
async def test_of_a_room_that_one_is_not_in_nothing_is_told_but_that(world: World, name: str) -> None:
    """Where it stands is not told either, whatever is asked."""
    room = world.rooms[name]
    async with Talk(world.bob) as talk:
        epoch = (await talk.until(type="hello"))["epoch"]
        for asked in (epoch, "other"):
            for seq in (-1, 0, 1, 2, 3, 4, MOST):
                ends, events = await resume(talk, {room: seq}, asked)
                is_reset("not_found", room, 0, ends, events)


async def test_of_all_rooms_at_once_each_is_told_what_it_is(world: World) -> None:
    chance = Random(1)
    async with Talk(world.bob) as talk:
        for _ in range(20):
            seen = {name: chance.randint(-1, world.head(name)) for name in OWN}
            asked = seen | dict.fromkeys(NONE_OF_HIS, chance.randint(-1, 9))
            names = chance.sample(list(asked), len(asked))
            ends, events = await resume(talk, {world.rooms[name]: asked[name] for name in names})
            assert list(ends) == [world.rooms[name] for name in names]
            for name in OWN:
                is_complete(world, name, seen[name], ends, events)
            for name in NONE_OF_HIS:
                is_reset("not_found", world.rooms[name], 0, ends, events)


async def test_as_many_rooms_as_an_account_can_have_are_answered_and_not_one_more(world: World) -> None:
    many = {f"nowhere{number}": 0 for number in range(999)} | {world.rooms["history"]: 0}
    async with Talk(world.bob) as talk:
        ends, events = await resume(talk, many)
        is_complete(world, "history", 0, ends, events)
        assert {end["reason"] for end in ends.values() if end["type"] == "reset"} == {"not_found"}
        await talk.say("resume", epoch="", rooms=many | {"one too many": 0})
        assert (await hear(talk))["code"] == "malformed"


async def test_who_leaves_or_is_removed_with_the_socket_open_is_told_no_more(server: Server) -> None:
    ann, dan = (register(server.address, f"{name}{next(_numbers)}") for name in ("ann", "dan"))
    left, removed = (
        ann.do("create_room", title=title, kind="private", members=[dan.id])["room"] for title in ("Left", "Removed")
    )
    async with Talk(dan) as talk:
        ends, events = await resume(talk, {left: 0, removed: 0})
        assert [event["seq"] for event in events] == [1, 2, 3, 1, 2, 3]
        dan.do("leave_room", room=left)
        ann.do("remove_member", room=removed, account=dan.id)
        await talk.until(type="member_removed", room=removed)
        for room in (left, removed):
            ann.do("send_message", room=room, text="only for those who are here")
        ends, events = await resume(talk, {left: 0, removed: 0})
        for room in (left, removed):
            is_reset("not_found", room, 0, ends, events)


# ---- what is no resume


EPOCHS: Final[tuple[Any, ...]] = (None, 1, [], {}, True, "x" * 65)
SEQS: Final[tuple[Any, ...]] = (None, "1", 1.5, True, [], {}, 2**53, -(2**53), 2**63, 2**64, 10**40)
NAMES: Final = ("", " ", "a b", "../x", "\0", "x" * 65, "room:x", "é")


def no_resumes(room: str) -> Iterator[Frame]:
    yield from ({"epoch": epoch, "rooms": {room: 0}} for epoch in EPOCHS)
    yield from ({"epoch": "", "rooms": {room: seq}} for seq in SEQS)
    yield from ({"epoch": "", "rooms": {name: 0, room: 0}} for name in NAMES)
    yield from ({"epoch": "", "rooms": rooms} for rooms in (None, 1, "all", [], [room], True))
    yield from ({}, {"epoch": ""}, {"rooms": {room: 0}})


async def test_what_is_no_resume_is_refused_and_told_nothing(world: World) -> None:
    wrong = list(no_resumes(world.rooms["history"]))
    for start in range(0, len(wrong), FEW):
        async with Talk(world.bob) as talk:
            await talk.until(type="hello")
            for fields in wrong[start : start + FEW]:
                await talk.say("resume", **fields)
                told = await hear(talk)
                assert (told["type"], told["code"]) == ("refused", "malformed"), fields
            assert await resume(talk, {}) == ({}, [])


async def test_of_a_room_named_twice_the_last_seq_counts(world: World) -> None:
    room, last = world.rooms["history"], world.head("history")
    async with Talk(world.bob) as talk:
        epoch = json.dumps((await talk.until(type="hello"))["epoch"])
        await talk.websocket.send(f'{{"type":"resume","epoch":{epoch},"rooms":{{"{room}":0,"{room}":{last - 1}}}}}')
        assert [(await hear(talk))["seq"] for _ in range(2)] == [last, last]
        await talk.say("ping")
        assert (await hear(talk))["type"] == "pong"


# ---- much of it, and more all the time


async def say_much(account: Account, room: str, number: int) -> int:
    """So many messages; the last one's seq."""
    async with Talk(account) as talk:
        for each in range(number):
            await talk.say("send_message", id=f"{room} {next(_numbers)} {each}", room=room, text=f"{each}")
        return int([await talk.until(type="ack") for _ in range(number)][-1]["seq"])


async def test_up_to_1000_missed_in_a_room_and_5000_in_all_are_told(server: Server) -> None:
    """Beyond, a room is reset, and the smaller ones behind it are told as far as it goes."""
    ann, eve = (register(server.address, f"{name}{next(_numbers)}") for name in ("ann", "eve"))
    rooms = [ann.do("create_room", title=f"{number}", kind="private", members=[eve.id])["room"] for number in range(7)]
    heads = [await say_much(ann, room, 1_000) for room in rooms]
    assert heads == [1_003] * 7
    async with Talk(eve) as talk:
        for seen in (2, 3, 4):  # 1,001, 1,000 and 999 are missed
            ends, events = await resume(talk, {rooms[0]: seen})
            told = [event["seq"] for event in events]
            assert told == ([] if seen == 2 else list(range(seen + 1, 1_004)))
            assert ends[rooms[0]].get("reason") == ("too_many" if seen == 2 else None)
        asked = dict(zip(rooms, (3, 3, 2, 3, 3, 4, 1_001), strict=True))
        ends, events = await resume(talk, asked)
        resets = {room: end["reason"] for room, end in ends.items() if end["type"] == "reset"}
        assert resets == {rooms[2]: "too_many", rooms[6]: "too_many"}  # 4,999 are told before the last one's two
        assert len(events) == 4_999
        for room in set(rooms) - set(resets):
            seqs = [event["seq"] for event in events if event["room"] == room]
            assert seqs == list(range(asked[room] + 1, 1_004))
        ends, events = await resume(talk, asked | {rooms[6]: 1_002})
        assert len(events) == 5_000
        assert ends[rooms[6]]["type"] == "caught_up"


async def test_while_messages_come_all_the_time_nobody_has_a_hole(server: Server) -> None:
    """Client after client comes back from a random seq, to all rooms at once and twice in a row. What comes live and
    what comes again make up the rest of the room, the latter as often as it was asked for."""
    chance = Random(2)
    ann, fay = (register(server.address, f"{name}{next(_numbers)}") for name in ("ann", "fay"))
    rooms = [ann.do("create_room", title=f"{number}", kind="private", members=[fay.id])["room"] for number in range(3)]
    for room in rooms:
        await say_much(ann, room, 50)
    async with speaking(ann, rooms, chance):
        for _ in range(40):
            async with Talk(fay) as talk:
                await has_no_hole(talk, rooms, chance)


async def has_no_hole(talk: Talk, rooms: list[str], chance: Random) -> None:
    hello = await talk.until(type="hello")
    heads = {room["id"]: room["seq"] for room in hello["rooms"]}
    seen = {room: chance.randint(max(0, heads[room] - 200), heads[room]) for room in rooms}
    for _ in range(2):
        await talk.say("resume", epoch=hello["epoch"], rooms=seen)
    ends: list[Frame] = []
    live = 0
    while len(ends) < 2 * len(rooms) or live < 3:
        frame = await talk.next()
        live += is_event(frame) and frame["seq"] > heads[frame["room"]]
        assert frame["type"] != "reset"
        if frame["type"] == "caught_up":
            ends.append(frame)
    assert [(end["room"], end["seq"]) for end in ends] == [(room, heads[room]) for room in rooms] * 2
    for room in rooms:
        again = [seq for seq in talk.events(room) if seq <= heads[room]]
        new = [seq for seq in talk.events(room) if seq > heads[room]]
        assert again == [*range(seen[room] + 1, heads[room] + 1)] * 2
        assert new == list(range(heads[room] + 1, heads[room] + 1 + len(new)))


@asynccontextmanager
async def speaking(account: Account, rooms: list[str], chance: Random) -> AsyncIterator[None]:
    """All the time."""
    enough = asyncio.Event()
    task = asyncio.create_task(speak(account, rooms, chance, enough))
    try:
        yield
    finally:
        enough.set()
        await task


async def speak(account: Account, rooms: list[str], chance: Random, enough: asyncio.Event) -> None:
    async with Talk(account) as talk:
        while not enough.is_set():
            await talk.say("send_message", id=f"speak {next(_numbers)}", room=chance.choice(rooms), text="and on")
            await talk.until(type="ack")
            await asyncio.sleep(0.002)
