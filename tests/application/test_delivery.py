"""Who hears of what: every member all of their rooms, in order, and nobody anything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.client import Account, Talk, register
from tests.running import Server

ROOM_EVENTS = {
    "room_created": {"title", "kind"},
    "room_renamed": {"title"},
    "room_archived": set(),
    "room_unarchived": set(),
    "member_added": {"account", "role"},
    "member_removed": {"account"},
    "role_changed": {"account", "role"},
    "message_sent": {"author", "text", "mentions"},
    "message_edited": {"message", "text"},
    "message_deleted": {"message"},
    "reaction_added": {"message", "emoji"},
    "reaction_removed": {"message", "emoji"},
    "message_pinned": {"message"},
    "message_unpinned": {"message"},
}
OWN_EVENTS = {
    "mentioned": {"room", "message"},
    "room_read": {"room", "message"},
    "session_started": {"session", "expires"},
    "session_ended": {"session"},
}
PUBLIC_EVENTS = {
    "account_registered": {"name", "role", "bot"},
    "account_renamed": {"name"},
    "account_promoted": {"role"},
    "account_deactivated": set(),
    "account_reactivated": {"role"},
}


@asynccontextmanager
async def talking(*accounts: Account) -> AsyncIterator[list[Talk]]:
    """Everybody connected, and past hello."""
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(Talk(account)) for account in accounts]
        for talk in talks:
            await talk.until(type="hello")
        yield talks


async def settle(*talks: Talk) -> None:
    """Until everybody has heard what was told before."""
    for talk in talks:
        await talk.ask("me")


def told(talk: Talk, room: str) -> list[tuple[str, int]]:
    return [(frame["type"], frame["seq"]) for frame in talk.heard if frame.get("room") == room and "at" in frame]


def of_type(talk: Talk, name: str) -> list[dict[str, Any]]:
    return [frame for frame in talk.heard if frame["type"] == name]


# ---- rooms


async def test_members_hear_every_event_in_order_and_others_none(
    ann: Account, bob: Account, cat: Account, dan: Account
) -> None:
    for kind in ("public", "private"):
        room = ann.do("create_room", title="Order", kind=kind, members=[bob.id])["room"]
        async with talking(ann, ann, bob, bob, cat) as talks:
            one, _, two, _, stranger = talks
            for number in range(20):
                await one.say("send_message", id=f"{kind} a{number}", room=room, text="hi")
                await two.say("send_message", id=f"{kind} b{number}", room=room, text="hi")
            for talk in talks[:4]:
                while talk.events(room)[-1:] != [43]:
                    await talk.next()
                assert talk.events(room) == list(range(4, 44))
            await settle(*talks)
            assert stranger.events(room) == []


async def test_every_event_says_what_is_documented(ann: Account, bob: Account) -> None:
    async with talking(ann, bob) as (talk, other):
        room = ann.do("create_room", title="Shapes", kind="private", members=[bob.id])["room"]
        for command, fields in (
            ("rename_room", {"title": "Shape"}),
            ("change_role", {"account": bob.id, "role": "admin"}),
            ("archive_room", {}),
            ("unarchive_room", {}),
            ("send_message", {"text": "hi @bob"}),
            ("send_message", {"text": "again", "reply_to": 8}),
            ("edit_message", {"message": 8, "text": "hello"}),
            ("add_reaction", {"message": 8, "emoji": "👍"}),
            ("remove_reaction", {"message": 8, "emoji": "👍"}),
            ("pin_message", {"message": 8}),
            ("unpin_message", {"message": 8}),
            ("delete_message", {"message": 8}),
            ("remove_member", {"account": bob.id}),
        ):
            await talk.ask(command, room=room, **fields)
        heard = {frame["type"]: frame for frame in talk.heard if frame.get("room") == room and "at" in frame}
        assert heard.keys() == ROOM_EVENTS.keys()
        for name, frame in heard.items():
            assert frame.keys() - {"reply_to"} == {"type", "room", "seq", "at", "by"} | ROOM_EVENTS[name], frame
            assert frame["by"] == ann.id
        assert talk.events(room) == list(range(1, 17))
        [sent, reply] = of_type(talk, "message_sent")
        assert (sent["text"], sent["mentions"], sent["author"]) == ("hi @bob", [bob.id], ann.id)
        assert reply["reply_to"] == 8
        await other.until(type="member_removed")
        assert other.events(room) == list(range(3, 17))  # from where bob came to where he went


async def test_who_is_added_hears_all_from_there_and_who_is_removed_nothing_after(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Come and go", kind="private")["room"]
    async with talking(ann, bob, bob) as (talk, one, two):
        wishes: list[tuple[str, dict[str, str]]] = [
            ("send_message", {"text": "before"}),
            ("add_member", {"account": bob.id}),
            ("send_message", {"text": "hello"}),
            ("rename_room", {"title": "With bob"}),
            ("remove_member", {"account": bob.id}),
            ("send_message", {"text": "after"}),
        ]
        for turn in range(3):  # in one breath, so that one turn may hold it all
            for number, (command, fields) in enumerate(wishes):
                await talk.say(command, id=f"{turn}.{number}", room=room, **fields)
        await talk.until(id="2.5")
        await settle(one, two)
    passed = [("member_added", 4), ("message_sent", 5), ("room_renamed", 6), ("member_removed", 7)]
    for bobs in (one, two):
        assert told(bobs, room)[:4] == passed
        assert [name for name, _ in told(bobs, room)[4:]] == ["member_added", "message_sent", "member_removed"] * 2
    assert talk.events(room) == list(range(3, talk.heard[-1]["seq"] + 1))


async def test_a_new_room_reaches_all_the_sockets_of_its_creator_and_those_it_starts_with(
    ann: Account, bob: Account, cat: Account
) -> None:
    async with talking(ann, ann, bob, cat) as (one, two, member, stranger):
        room = (await one.ask("create_room", title="New", kind="public", members=[bob.id]))["room"]
        await settle(two, member, stranger)
        for talk in (one, two):
            assert told(talk, room) == [("room_created", 1), ("member_added", 2), ("member_added", 3)]
        assert told(member, room) == [("member_added", 3)]
        assert told(stranger, room) == []


async def test_a_direct_room_is_of_two_whoever_opens_it(ann: Account, server: Server) -> None:
    eve, fay = register(server.address, "eve.direct"), register(server.address, "fay.direct")
    async with talking(eve, fay, ann) as (one, two, owner):
        answers = await asyncio.gather(one.ask("open_direct", account=fay.id), two.ask("open_direct", account=eve.id))
        rooms = {answer["room"] for answer in answers}
        assert len(rooms) == 1
        room = rooms.pop()
        await two.ask("send_message", room=room, text="psst")
        await settle(one, owner)
        assert max(one.events(room)) == max(two.events(room)) == 4
        assert not any(frame.get("room") == room for frame in owner.heard)
    for command, fields in (("leave_room", {}), ("add_member", {"account": ann.id}), ("rename_room", {"title": "x"})):
        assert eve.post(command, room=room, **fields).json["code"] == "forbidden"
    assert ann.get("list_messages", room=room).json["code"] == "not_found"


async def test_leaving_and_joining_reads_as_going_and_coming(ann: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Open", kind="public")["room"]
    async with talking(ann, cat) as (talk, visitor):
        await visitor.ask("join_room", room=room)
        await visitor.ask("leave_room", room=room)
        await settle(talk)
        assert told(talk, room) == told(visitor, room) == [("member_added", 3), ("member_removed", 4)]
        assert of_type(talk, "member_added")[-1]["by"] == cat.id
    await_again = cat.do("join_room", room=room)
    assert await_again["seq"] == 5
    ann.do("remove_member", room=room, account=cat.id)
    assert cat.post("join_room", room=room).json["code"] == "barred"
    ann.do("add_member", room=room, account=cat.id)
    cat.do("send_message", room=room, text="back")


async def test_what_is_archived_can_be_read_and_not_changed(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Attic", kind="public", members=[bob.id])["room"]
    message = bob.do("send_message", room=room, text="old times")["seq"]
    ann.do("archive_room", room=room)
    for command, fields in (
        ("send_message", {"text": "hi"}),
        ("edit_message", {"message": message, "text": "hi"}),
        ("add_reaction", {"message": message, "emoji": "👍"}),
    ):
        refused = bob.post(command, room=room, **fields)
        assert (refused.status, refused.json["code"]) == (409, "archived")
    assert [shown["text"] for shown in bob.ask("list_messages", room=room)["messages"]] == ["old times"]
    assert bob.ask("search_messages", text="times", room=room)["messages"]
    bob.do("mark_read", room=room, message=message)
    bob.do("leave_room", room=room)
    ann.do("unarchive_room", room=room)
    bob.do("join_room", room=room)


async def test_a_room_that_somebody_cannot_see_is_not_there(ann: Account, bob: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Secret", kind="private", members=[bob.id])["room"]
    there, nowhere = (cat.post("send_message", room=name, text="hi") for name in (room, "nowhere"))
    assert (there.status, there.body) == (nowhere.status, nowhere.body)
    for query in ("room", "list_members", "list_messages", "who_is_online"):
        assert cat.get(query, room=room).json == nowhere.json
    assert cat.get("search_messages", text="hi", room=room).json["code"] == "not_found"
    public = ann.do("create_room", title="Open", kind="public")["room"]
    assert cat.post("send_message", room=public, text="hi").json["code"] == "not_a_member"
    assert cat.get("list_messages", room=public).json["code"] == "not_a_member"
    assert cat.ask("room", room=public)["role"] is None


# ---- what is deleted is gone


async def test_what_is_deleted_is_gone_from_every_answer(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Regrets", kind="private", members=[bob.id])["room"]
    seq = bob.do("send_message", room=room, text="regrettable @ann")["seq"]
    bob.do("edit_message", room=room, message=seq, text="regrettable indeed")
    ann.do("pin_message", room=room, message=seq)
    bob.do("delete_message", room=room, message=seq)
    assert "regrettable" not in str(ann.ask("list_messages", room=room))
    assert ann.ask("search_messages", text="regrettable")["messages"] == []
    assert ann.ask("room", room=room)["pins"] == []
    async with Talk(ann) as talk:
        hello = await talk.until(type="hello")
        await talk.say("resume", epoch=hello["epoch"], rooms={room: 0})
        await talk.until(type="caught_up")
        assert "regrettable" not in str(talk.heard)
        [sent] = of_type(talk, "message_sent")
        assert (sent["text"], sent["mentions"], sent["deleted"]) == ("", [], True)
    refused = bob.post("edit_message", room=room, message=seq, text="again")
    assert (refused.status, refused.json["field"]) == (404, "message")


# ---- accounts


async def test_events_of_an_account_reach_its_own_sockets_alone(ann: Account, bob: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Own", kind="private", members=[bob.id, cat.id])["room"]
    async with talking(ann, bob, bob, cat) as (talk, one, two, other):
        seq = (await talk.ask("send_message", room=room, text="hello @bob and @ann"))["seq"]
        await one.ask("mark_read", room=room, message=seq)
        bob_again = Account(bob.address).do("log_in", name="bob", password="correct horse battery")["token"]
        Account(bob.address, bob_again).do("log_out")
        await settle(talk, one, two, other)
    for bobs in (one, two):
        own = {frame["type"]: frame for frame in bobs.heard if frame["type"] in OWN_EVENTS}
        assert own.keys() == OWN_EVENTS.keys()
        for name, frame in own.items():
            assert frame.keys() == {"type", "at", "by", "account"} | OWN_EVENTS[name]
            assert frame["account"] == bob.id
        assert (own["mentioned"]["message"], own["mentioned"]["by"]) == (seq, ann.id)
        assert own["room_read"]["message"] == seq
    for others in (talk, other):
        assert not any(frame["type"] in OWN_EVENTS for frame in others.heard)


async def test_everybody_hears_of_accounts_and_nobody_of_secrets(server: Server, ann: Account, cat: Account) -> None:
    async with talking(ann, cat) as (talk, other):
        eve = register(server.address, "eve.public")
        eve.do("rename_account", name="eve.again")
        eve.do("change_password", old="correct horse battery", new="battery horse correct")
        ann.do("promote_account", account=eve.id, role="admin")
        ann.do("reset_password", account=eve.id)
        ann.do("deactivate_account", account=eve.id)
        ann.do("reactivate_account", account=eve.id)
        invite = ann.do("create_invite")
        register(server.address, "fay.public", invite["token"])
        ann.do("revoke_invite", invite=invite["invite"])
        ann.do("create_bot", name="robot.public")
        await settle(talk, other)
    for everybody in (talk, other):
        heard = {frame["type"]: frame for frame in everybody.heard if frame.get("account") == eve.id}
        assert heard.keys() == PUBLIC_EVENTS.keys()
        for name, frame in heard.items():
            assert frame.keys() == {"type", "at", "by", "account"} | PUBLIC_EVENTS[name]
        types = {frame["type"] for frame in everybody.heard if "at" in frame}
        assert types <= PUBLIC_EVENTS.keys()
        assert "$argon2" not in str(everybody.heard)
        assert invite["token"] not in str(everybody.heard)
        assert invite["invite"] not in str(everybody.heard)


# ---- what is not kept


async def test_typing_is_told_to_the_others_and_not_too_often(ann: Account, bob: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Typing", kind="private", members=[bob.id])["room"]
    other = ann.do("create_room", title="Typing too", kind="private", members=[bob.id])["room"]
    async with talking(ann, bob, cat) as (talk, hearer, stranger):
        for _ in range(5):
            await talk.say("typing", room=room)
            await stranger.say("typing", room=room)
        await talk.say("typing", room=other)
        await talk.say("typing", room="nowhere")
        assert await hearer.until(type="typing") == {"type": "typing", "room": room, "account": ann.id}
        assert await hearer.until(type="typing") == {"type": "typing", "room": other, "account": ann.id}
        await settle(talk, hearer, stranger)
        assert len(of_type(hearer, "typing")) == 2
        assert of_type(talk, "typing") == of_type(stranger, "typing") == []


async def test_who_comes_is_told_to_the_rooms_that_they_are_in(server: Server, ann: Account, cat: Account) -> None:
    eve = register(server.address, "eve.presence")
    room = ann.do("create_room", title="Presence", kind="private", members=[eve.id])["room"]
    async with talking(ann, cat) as (talk, stranger):
        async with talking(eve, eve):
            frame = await talk.until(type="presence", room=room)
            while eve.id not in frame["online"]:
                frame = await talk.until(type="presence", room=room)
            assert frame.keys() == {"type", "room", "online", "offline"}
            assert (set(frame["online"]) <= {ann.id, eve.id}, frame["offline"]) == (True, [])
            online = ann.ask("who_is_online", room=room)["online"]
            assert eve.id in online
        await settle(stranger)
        assert not any(eve.id in str(frame) for frame in of_type(stranger, "presence"))
    assert eve.id in ann.ask("who_is_online", room=room)["online"]  # for a while: it may come back


# ---- from hello on


@pytest.mark.parametrize("sockets", [12])
async def test_nothing_is_lost_or_doubled_between_hello_and_what_follows(
    ann: Account, bob: Account, sockets: int
) -> None:
    room = ann.do("create_room", title="Storm", kind="private", members=[bob.id])["room"]
    stop = asyncio.Event()

    async def storm() -> int:
        async with Talk(ann) as talk:
            while not stop.is_set():
                ack = await talk.ask("send_message", room=room, text="hi")
            return int(ack["seq"])

    storming = asyncio.create_task(storm())
    async with AsyncExitStack() as stack:
        talks = []
        for _ in range(sockets):
            talks.append(await stack.enter_async_context(Talk(bob)))
            await asyncio.sleep(0.01)
        stop.set()
        last = await storming
        for talk in talks:
            hello = await talk.until(type="hello")
            [start] = [shown["seq"] for shown in hello["rooms"] if shown["id"] == room]
            while (talk.events(room) or [start])[-1] < last:
                await talk.next()
            assert talk.events(room) == list(range(start + 1, last + 1))
