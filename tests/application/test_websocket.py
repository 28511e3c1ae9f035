"""The websocket: hello first, then answers by their ids; and how it ends for those who break its rules."""

import asyncio
import json
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from tests.client import Account, Talk, end_of, register
from tests.running import Server, running


def small_socket(server: Server) -> socket.socket:
    """A connection whose peer may have little in flight."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", server.port))
    small.setblocking(False)
    return small


# ---- hello


async def test_hello_comes_first_and_tells_where_everything_stands(ann: Account, bob: Account, cat: Account) -> None:
    room = ann.do("create_room", title="Hello", kind="public", members=[bob.id])["room"]
    direct = bob.do("open_direct", account=cat.id)["room"]
    for text in ("one", "two @bob", "three @bob"):
        ann.do("send_message", room=room, text=text)
    bob.do("mark_read", room=room, message=5)
    ann.do("archive_room", room=room)
    async with Talk(bob) as talk:
        hello = await talk.next()
    assert set(hello) == {"type", "epoch", "account", "rooms", "limits"}
    assert hello["type"] == "hello"
    assert hello["epoch"]
    assert hello["account"] == {"id": bob.id, "name": "bob", "role": "member"}
    assert hello["limits"] == bob.ask("me")["limits"]
    rooms = {shown["id"]: shown for shown in hello["rooms"]}
    assert rooms[room] == (
        {"id": room, "title": "Hello", "kind": "public", "seq": 7, "read": 5, "unread": 1, "mentions": 1}
        | {"role": "member", "archived": True}
    )
    assert rooms[direct] == (
        {"id": direct, "title": "", "kind": "direct", "seq": 3, "read": 2, "unread": 0, "mentions": 0}
        | {"role": "member", "archived": False, "with": cat.id}
    )
    assert hello["rooms"] == bob.ask("list_rooms")["rooms"]


async def test_what_is_unread_is_counted_up_to_100(ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Much", kind="private", members=[bob.id])["room"]
    async with Talk(ann) as talk:
        for number in range(105):
            await talk.say("send_message", id=f"much {number}", room=room, text="@bob look")
        await talk.until(id="much 104")
    shown = bob.ask("room", room=room)
    assert (shown["unread"], shown["mentions"]) == (100, 100)
    assert ann.ask("room", room=room)["unread"] == 0  # one's own
    bob.do("mark_read", room=room, message=107)
    shown = bob.ask("room", room=room)
    assert (shown["read"], shown["unread"], shown["mentions"]) == (107, 1, 1)
    ann.do("delete_message", room=room, message=108)
    assert bob.ask("room", room=room)["unread"] == 0
    bob.do("mark_read", room=room, message=50)
    assert bob.ask("room", room=room)["read"] == 107  # it never goes back
    refused = bob.post("mark_read", room=room, message=1_000)
    assert (refused.status, refused.json["field"]) == (404, "message")


# ---- frames


async def test_a_ping_is_answered(ann: Account) -> None:
    async with Talk(ann) as talk:
        await talk.say("ping")
        assert await talk.until(type="pong") == {"type": "pong"}


async def test_answers_come_by_their_ids(ann: Account) -> None:
    room = ann.do("create_room", title="Ids", kind="private")["room"]
    async with Talk(ann) as talk:
        for number in range(30):
            await talk.say("send_message", id=f"c{number}", room=room, text="hi")
            await talk.say("list_messages", id=f"q{number}", room=room)
        missing = {f"{kind}{number}" for number in range(30) for kind in "cq"}
        while missing:
            frame = await talk.next()
            if "id" in frame:
                assert frame["type"] == ("ack" if frame["id"][0] == "c" else "answer")
                missing.remove(frame["id"])
    acks = [(frame["id"], frame["seq"]) for frame in talk.heard if frame["type"] == "ack"]
    assert acks == [(f"c{number}", number + 3) for number in range(30)]
    assert talk.events(room) == list(range(3, 33))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"type":"me"}', {"code": "malformed", "field": "id"}),
        ('{"type":"me","id":""}', {"code": "malformed", "field": "id"}),
        ('{"type":"me","id":7}', {"code": "malformed", "field": "id"}),
        ('{"type":"me","id":"' + "i" * 65 + '"}', {"code": "malformed", "field": "id", "id": "i" * 65}),
        ('{"type":"nothing","id":"1"}', {"code": "malformed", "field": "type", "id": "1"}),
        ('{"id":"1"}', {"code": "malformed", "field": "type", "id": "1"}),
        ('{"type":"room","id":"1"}', {"code": "malformed", "field": "room", "id": "1"}),
        ('{"type":"resume","id":"1","epoch":"x"}', {"code": "malformed", "field": "rooms", "id": "1"}),
        ("[]", {"code": "malformed"}),
        ("", {"code": "malformed"}),
        ("no json", {"code": "malformed"}),
        ("[" * 30_000, {"code": "malformed"}),
        (b"\xff\xfe", {"code": "malformed"}),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_frame_that_cannot_be_read_is_refused_by_its_id(
    ann: Account, frame: str | bytes, expected: dict[str, Any]
) -> None:
    async with Talk(ann) as talk:
        await talk.websocket.send(frame)
        refused = await talk.until(type="refused")
        assert refused.pop("detail")
        assert refused == {"type": "refused", **expected}
        await talk.say("ping")
        await talk.until(type="pong")


async def test_a_message_may_come_in_fragments(ann: Account) -> None:
    async with Talk(ann) as talk:
        await talk.websocket.send(iter(['{"type":', '"me","id"', ':"in parts"}']))
        assert (await talk.until(id="in parts"))["type"] == "answer"


async def test_the_same_id_over_either_door_gets_the_first_answer(ann: Account) -> None:
    room = ann.do("create_room", title="Doors", kind="private")["room"]
    async with Talk(ann) as talk:
        first = await talk.ask("send_message", "from the socket", room=room, text="hi")
        assert ann.do("send_message", key="from the socket", room=room, text="x") == {"room": room, "seq": first["seq"]}
        again = ann.do("send_message", key="from outside", room=room, text="hi")
        assert await talk.ask("send_message", "from outside", room=room, text="x") == {
            "type": "ack",
            "id": "from outside",
            **again,
        }
        told = await talk.ask("create_invite", "invite me")
        assert told.pop("token")
        assert await talk.ask("create_invite", "invite me") == told
    assert talk.events(room) == [3, 4]


async def test_many_of_one_id_in_one_breath_make_one_event(ann: Account) -> None:
    room = ann.do("create_room", title="Breath", kind="private")["room"]
    async with Talk(ann) as talk:
        for _ in range(60):
            await talk.say("send_message", id="breath", room=room, text="hi")
        acks = [await talk.until(id="breath") for _ in range(60)]
    assert {ack["seq"] for ack in acks} == {3}
    assert talk.events(room) == [3]


# ---- how it ends


async def test_without_a_session_it_is_accepted_and_closed(server: Server, ann: Account) -> None:
    url = server.address.replace("http", "ws", 1) + "/ws"
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {ann.id}.wrong"}):
        async with connect(url, additional_headers=headers) as websocket:
            assert await end_of(websocket) == Close(4401, "log in first")


async def test_a_flood_of_frames_that_cannot_be_read_ends_it(ann: Account) -> None:
    async with Talk(ann) as talk:
        for _ in range(40):
            await talk.websocket.send("nonsense")
        assert (await talk.end()).code == 1008


async def test_a_flood_of_fragments_ends_it(ann: Account) -> None:
    async with Talk(ann) as talk:
        closed = asyncio.create_task(talk.end())
        with suppress(ConnectionClosed):
            await talk.websocket.send(" " for _ in range(1_000))
        assert (await closed).code == 1008


@pytest.mark.parametrize("size", [64 * 1024 + 1, 4_000_000])
async def test_a_frame_that_is_too_large_ends_it(ann: Account, size: int) -> None:
    async with Talk(ann) as talk:
        await talk.next()
        closed = asyncio.create_task(talk.end())
        with suppress(ConnectionClosed):
            await talk.websocket.send("x" * size)
        assert (await closed).code == 1009


async def test_a_frame_of_64_kib_is_read(ann: Account) -> None:
    async with Talk(ann) as talk:
        frame = json.dumps({"type": "me", "id": "large", "more": ""})
        await talk.websocket.send(frame[:-2] + "x" * (64 * 1024 - len(frame)) + '"}')
        assert (await talk.until(id="large"))["type"] == "answer"


async def test_a_frame_that_breaks_the_protocol_ends_it(server: Server, ann: Account) -> None:
    async with Talk(ann) as talk:
        await talk.next()
        talk.websocket.transport.write(b"\x81\x05hello")  # clients have to mask
        assert (await talk.end()).code == 1002


async def test_whoever_stops_reading_is_closed_while_the_others_are_served(
    server: Server, ann: Account, bob: Account, cat: Account
) -> None:
    room = ann.do("create_room", title="Loud", kind="private", members=[bob.id, cat.id])["room"]
    lazy = {"sock": small_socket(server), "max_queue": 1, "ping_interval": None}
    async with Talk(bob, **lazy) as asleep, Talk(cat) as awake, Talk(ann) as talk:
        await asleep.until(type="hello")
        hearing = asyncio.create_task(awake.until(type="message_sent", seq=124))
        for number in range(120):
            ack = await talk.ask("send_message", room=room, text=f"{number:04}" + "€" * 7_900)
            assert ack["type"] == "ack"
        await hearing
        assert awake.events(room) == list(range(5, 125))
        end = await asleep.end()
        assert (end.code, end.reason) == (4008, "lagging: resume")
        assert (await talk.ask("me"))["type"] == "answer"


async def test_answers_wait_for_a_slow_reader(server: Server, ann: Account) -> None:
    """Who asks for more than a socket may lag behind gets it, as fast as it reads."""
    room = ann.do("create_room", title="Slow", kind="private")["room"]
    async with Talk(ann) as talk:
        for _ in range(60):
            await talk.ask("send_message", room=room, text="€" * 8_000)
    async with Talk(ann, sock=small_socket(server), max_queue=1) as talk:
        for number in range(20):
            await talk.say("list_messages", id=f"page {number}", room=room, limit=100)
        for number in range(20):
            page = (await talk.until(id=f"page {number}"))["answer"]
            assert page["more"] is True
            assert len(page["messages"]) * 24_000 < 256 * 1024


async def test_there_are_so_many_sockets_and_no_more(tmp_path: Path) -> None:
    with running(tmp_path, "--sockets", "3", database="memory:") as server:
        ann = register(server.address, "ann")
        async with Talk(ann) as one, Talk(ann) as two:
            await one.until(type="hello")
            await two.until(type="hello")
            async with Talk(ann) as three:
                await three.until(type="hello")
                talks = [Talk(ann) for _ in range(5)]
                await asyncio.gather(*(talk.__aenter__() for talk in talks))
                assert {(await talk.end()).code for talk in talks} == {4429}
            while True:  # until the server has noticed that one is gone
                async with Talk(ann) as talk:
                    with suppress(ConnectionClosed):
                        await talk.until(type="hello")
                        break


async def test_who_is_too_fast_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, "--rate", "2", "--registration", "open", database="memory:") as server:
        ann, bob = register(server.address, "ann"), register(server.address, "bob")
        room = ann.do("create_room", title="Fast", kind="public")["room"]
        async with Talk(ann) as talk:
            frames = [await talk.ask("send_message", f"f{number}", room=room, text="hi") for number in range(8)]
            refused = [frame for frame in frames if frame["type"] == "refused"]
            assert len(refused) >= 2  # whoever was refused is not read from until it would not be
            assert {frame["code"] for frame in refused} == {"too_fast"}
            assert all(0 < frame["retry_after"] <= 0.5 for frame in refused)
            response = ann.post("send_message", room=room, text="hi")  # it is one rate for all doors
            assert (response.status, response.json["code"]) == (429, "too_fast")
            assert response.headers["retry-after"] == "1"
            assert (await talk.ask("me"))["type"] == "answer"  # asking is free
            bob.do("join_room", room=room)
            while True:
                await asyncio.sleep(refused[-1]["retry_after"])
                ack = await talk.ask("send_message", refused[-1]["id"], room=room, text="hi")
                if ack["type"] == "ack":
                    break


async def test_at_a_stop_everybody_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, database="memory:") as server:
        ann = register(server.address, "ann")
        async with Talk(ann) as one, Talk(ann) as two:
            await one.until(type="hello")
            await two.until(type="hello")
            server.signal(signal.SIGTERM)
            ends = [await talk.end() for talk in (one, two)]
        assert {end.code for end in ends} == {1012}
        assert all(0 < int(end.reason) < 5_000 for end in ends)
        assert server.process.wait(10) == 0


async def test_who_goes_without_a_word_leaves_no_trace(server: Server, ann: Account) -> None:
    handshake = (
        f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {ann.token}\r\n\r\n"
    )
    for number in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset at the close
            connection.sendall(handshake.encode())
            if number % 2:
                connection.recv(10)
    async with Talk(ann) as talk:
        await talk.until(type="hello")
