"""A private or direct room that one cannot see is not there: whatever is asked about it gets, byte for byte and by the
same way through the store, what is told of a room that never was.

What can be asked is read off the tables, so a new command or question about a room is asked too.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from chat.application import doors
from chat.application.queue import Outcome, Waiting
from chat.domain.accounts import CreateInvite, ListInvites, PromoteAccount
from chat.domain.errors import Refused, content_of
from chat.domain.log import Begun, Found, Loaded, LogRow, Rows, Writes
from chat.domain.messages import DeleteMessage, EditMessage, PinMessage, SearchMessages, SendMessage
from chat.domain.rooms import ArchiveRoom, BrowseRooms, CreateRoom, ListRooms, OpenDirect, RemoveMember
from chat.domain.vocabulary import Command, Query
from chat.infra.stores.memory import MemoryStore
from tests.application.fakes import FakeWire, World, connected, until, world
from tests.client import Account, Response, Talk
from tests.logic.given import TABLES
from tests.running import Server

NOWHERE: Final = "0000000000000nowhere000"
SECRET: Final = "hush @dan, this is among ourselves"
SAMPLE: Final = 40

ABOUT_ROOMS: Final[list[type[msgspec.Struct]]] = [
    kind for kind in [*TABLES.commands, *TABLES.queries] if "room" in kind.__struct_fields__
]
MESSAGES: Final = [1, 7, 8, 999]  # in each room: none, a deleted one, a pinned one, and none yet
# What a field may be, apart from left out where it can be. `after` is a member in one question, a message in another.
VALUES: Final[dict[str, Sequence[Any]]] = {
    "account": ["ANN", "SELF", "nobody"],
    "ListMembers.after": ["ANN", "nobody"],
    "after": [0, 5],
    "around": [5],
    "author": ["ANN"],
    "before": [-1, 999],
    "emoji": ["+1"],
    "limit": [1],
    "message": MESSAGES,
    "reply_to": MESSAGES,
    "role": ["owner"],
    "text": ["hush"],
    "title": ["Lair"],
}
LEFT_OUT: Final = object()


def variants(kind: type, ann: str, actor: str) -> Iterator[dict[str, Any]]:
    """Every choice of fields beside the room."""
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in ("id", "room")]
    choices = []
    for field in fields:
        values = VALUES.get(f"{kind.__name__}.{field.name}") or VALUES[field.name]
        named = [{"ANN": ann, "SELF": actor}.get(value, value) for value in values]
        choices.append(named if field.required else [LEFT_OUT, *named])
    for chosen in product(*choices):
        pairs = zip((field.name for field in fields), chosen, strict=True)
        yield {name: value for name, value in pairs if value is not LEFT_OUT}


def test_there_is_much_to_ask() -> None:
    names = {kind.__name__ for kind in ABOUT_ROOMS}
    assert {"SendMessage", "MarkRead", "JoinRoom", "AddMember", "ShowRoom", "ListMessages", "WhoIsOnline"} <= names
    assert len(names) >= 20


# ---- by the same way


class Watched(MemoryStore):
    """Keeps account of what is asked of it, whichever room that is about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.room = ""

    def _note(self, call: str, names: Sequence[object] = ()) -> None:
        self.asked.append((call, tuple(str(name).replace(self.room, "ROOM") for name in names)))

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        self._note("begin", keys)
        return await super().begin(after, asked, keys)

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        self._note("load_locked", keys)
        return await super().load_locked(keys)

    async def load(self, keys: Sequence[str]) -> Loaded:
        self._note("load", keys)
        return await super().load(keys)

    async def find(self, rows: Sequence[Rows]) -> list[Found]:
        self._note("find", rows)
        return await super().find(rows)

    async def read_stream(self, stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        self._note("read_stream", [stream])
        return await super().read_stream(stream, after, upto, limit)

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        self._note("read_about", names)
        return await super().read_about(names)

    async def commit(self, writes: Writes) -> None:
        self._note("commit")
        await super().commit(writes)


class Place(NamedTuple):
    """People, and rooms of ann's and bob's: dan is in none of them now, nor is the admin."""

    here: World
    store: Watched
    ann: str
    dan: str
    admin: str
    rooms: dict[str, str]


async def place() -> Place:
    store = Watched()
    here = await world(store)
    ann, bob, dan, admin = [await here.register(name) for name in ("ann", "bob", "dan", "adm")]
    await here.do(ann, PromoteAccount(id="promote", account=admin, role="owner"))
    rooms = {name: await here.room(ann, bob, dan) for name in ("private", "archived", "left")}
    rooms["direct"] = (await here.do(ann, OpenDirect(id="open", account=bob)))["room"]
    for name, room in rooms.items():
        if name != "direct":
            await here.do(dan if name == "left" else ann, SendMessage(id=f"dan {name}", room=room, text="hush, dan"))
            await here.do(ann, RemoveMember(id=f"remove {name}", room=room, account=dan))
        for number in range(6):
            await here.do(ann, SendMessage(id=f"{name} {number}", room=room, text=SECRET))
        await here.do(ann, DeleteMessage(id=f"{name} delete", room=room, message=7))
        await here.do(ann, PinMessage(id=f"{name} pin", room=room, message=8))
    await here.do(ann, ArchiveRoom(id="archive", room=rooms["archived"]))
    return Place(here, store, ann, dan, admin, rooms)


async def outcome(place: Place, actor: str, message: Command | Query) -> bytes:
    """What is told, as it goes over a connection."""
    here = place.here
    if isinstance(message, Query):
        try:
            return msgspec.json.encode(await here.node.ask(message, actor, actor))
        except Refused as refusal:
            return msgspec.json.encode(content_of(refusal))
    told: list[Outcome] = []
    await here.node.turns.turn([Waiting(message, actor, actor, "fresh", told.append)])
    [first] = told
    return msgspec.json.encode(content_of(first)) if isinstance(first, Refused) else first


async def asked(place: Place, actor: str, kind: type, room: str, fields: dict[str, Any]) -> tuple[list[bytes], Any]:
    """Told when nothing is at hand, told again when all is; and everything that the store was asked for it."""
    place.here.forget()
    place.store.room = room
    place.store.asked = []
    message: Any = msgspec.convert({"id": "ask", "room": room, **fields}, kind)
    return [await outcome(place, actor, message) for _ in range(2)], place.store.asked


async def test_a_room_that_one_cannot_see_is_not_there_whatever_is_asked() -> None:
    here = await place()
    tried = 0
    for kind, actor in product(ABOUT_ROOMS, (here.dan, here.admin)):
        for fields in variants(kind, here.ann, actor):
            expected, work = await asked(here, actor, kind, NOWHERE, fields)
            assert {json.loads(told)["code"] for told in expected} == {"not_found"}, (kind, fields, expected)
            assert not {"find", "commit", "read_stream", "read_about"} & {call for call, _ in work}
            for name, room in here.rooms.items():
                told, same = await asked(here, actor, kind, room, fields)
                assert (told, same) == (expected, work), (kind.__name__, name, fields)
                tried += 1
    assert tried > 700


async def test_its_members_are_told_something_else() -> None:
    """Or the test above would compare nothing with nothing."""
    here = await place()
    for kind, (name, room) in product(ABOUT_ROOMS, here.rooms.items()):
        codes = set()
        for fields in variants(kind, here.ann, here.ann):
            told, _ = await asked(here, here.ann, kind, room, fields)
            codes.add(json.loads(told[0]).get("code"))
        assert codes != {"not_found"}, (kind, name)


async def test_an_invitation_cannot_open_it() -> None:
    here = await place()
    for name, room in here.rooms.items():
        told = [
            await outcome(here, here.admin, CreateInvite(id=f"invite {name}", invite="hash", rooms=(one,)))
            for one in (room, NOWHERE)
        ]
        assert told[0] == told[1], name
        assert json.loads(told[0])["code"] == "not_found"


async def test_lists_and_searches_do_not_name_it() -> None:
    here = await place()
    await here.here.do(here.ann, PromoteAccount(id="promote", account=here.ann, role="owner"))
    opens = CreateInvite(id="invite", invite="hash", rooms=(here.rooms["private"], here.rooms["left"]))
    await here.here.do(here.ann, opens)
    wishes = [SearchMessages(text=text, author=author) for text in ("hush", "ourselves") for author in (None, here.ann)]
    for actor in (here.dan, here.admin):
        for query in (*wishes, ListRooms(), BrowseRooms(), BrowseRooms(text="Tea"), ListInvites()):
            told = (await outcome(here, actor, query)).decode()
            assert not [room for room in here.rooms.values() if room in told], (query, told)
            assert "hush" not in told
    assert json.loads(await outcome(here, here.admin, ListInvites()))["invites"][0]["rooms"] == []


# ---- on a socket


async def hear(wire: FakeWire, fields: dict[str, Any]) -> None:
    await until(lambda: [frame for frame in wire.frames if fields.items() <= frame.items()])


def more_than(frames: int, wire: FakeWire) -> bool:
    return len(wire.frames) > frames


async def test_nothing_of_it_is_heard() -> None:
    """Neither what happens there, nor who is named, who writes and who is online."""
    here = await place()
    node = here.here.node
    async with connected(here.here, here.dan) as dan, connected(here.here, here.ann) as ann:
        await until(lambda: dan.frames and ann.frames)
        before = len(dan.frames)
        for name, room in here.rooms.items():
            if name != "archived":
                sent = await here.here.do(here.ann, SendMessage(id=f"said {name}", room=room, text=SECRET))
                edit = EditMessage(id=f"edit {name}", room=room, message=sent["seq"], text=f"{SECRET} @dan @dan")
                await here.here.do(here.ann, edit)
                said = {"type": "message_sent", "room": room, "seq": sent["seq"], "mentions": []}
                await hear(ann, said)
            ann.say("typing", room=room)
            dan.say("typing", room=room)
        await node.presence.tell()
        await until(lambda: [frame for frame in ann.frames if frame["type"] == "presence"])
        await here.here.do(here.dan, CreateRoom(id="own", title="Own", kind="private"))
        await hear(dan, {"type": "room_created", "title": "Own"})  # and so all that was said before
        heard = json.dumps(dan.frames[before:])
        assert not [room for room in here.rooms.values() if room in heard], heard
        assert not [frame for frame in ann.frames if frame["type"] == "typing"]


@pytest.mark.parametrize("epoch", ["this", "another"])
async def test_it_cannot_be_resumed(epoch: str) -> None:
    here = await place()
    node = here.here.node
    async with connected(here.here, here.dan) as dan:
        await until(lambda: dan.frames)
        told: dict[str, list[Any]] = {}
        for name, room in [("nowhere", NOWHERE), *here.rooms.items()]:
            here.here.forget()
            here.store.room, here.store.asked = room, []
            told[name] = []
            for seen in (0, 1, 5, 9_999, -1):
                heard = len(dan.frames)
                dan.say("resume", epoch=node.epoch if epoch == "this" else "x", rooms={room: seen})
                await until(partial(more_than, heard, dan))
                told[name].append(json.dumps(dan.frames[heard:]).replace(room, "ROOM"))
            told[name].append(here.store.asked)
    expected = told.pop("nowhere")
    assert json.loads(expected[0]) == [{"type": "reset", "room": "ROOM", "seq": 0, "reason": "not_found"}]
    assert not [call for call, _ in expected[-1] if call == "read_stream"]
    for name, found in told.items():
        assert found == expected, name


# ---- what one was told once


async def test_who_did_something_there_once_is_told_so_again_and_nobody_else_is() -> None:
    """The first answer to one's own id, which says no more than it did; the same id of another account says nothing."""
    here = await place()
    room = here.rooms["left"]
    again = SendMessage(id="dan left", room=room, text="another text")
    first = await outcome(here, here.dan, again)
    assert json.loads(first) == {"room": room, "seq": 5}
    assert await outcome(here, here.admin, again) == await outcome(
        here, here.admin, SendMessage(id="dan left", room=NOWHERE, text="another text")
    )
    new = await outcome(here, here.dan, SendMessage(id="new", room=room, text="another text"))
    assert json.loads(new)["code"] == "not_found"


# ---- over the doors


def bare(response: Response) -> tuple[int, bytes, dict[str, str]]:
    return response.status, response.body, {name: value for name, value in response.headers.items() if name != "date"}


async def test_over_the_doors_it_is_the_same(server: Server, ann: Account, bob: Account, dan: Account) -> None:
    """Also where something else is wrong, and is found first."""
    private = ann.do("create_room", title="Hidden", kind="private", members=[bob.id])["room"]
    direct = ann.do("open_direct", account=bob.id)["room"]
    for room in (private, direct):
        for _ in range(8):
            ann.do("send_message", room=room, text=SECRET)
    chance = Random(1)
    everything = [(kind, fields) for kind in ABOUT_ROOMS for fields in variants(kind, ann.id, dan.id)]
    broken = [(kind, {**fields, name: ["?"]}) for kind, fields in everything for name in fields]
    async with Talk(dan) as talk:
        await talk.until(type="hello")
        for kind, fields in everything + chance.sample(broken, SAMPLE):
            name, rooms = doors.tag_of(kind), (NOWHERE, private, direct)
            ask = dan.post if issubclass(kind, Command) else dan.get
            told = [bare(ask(name, room=room, **fields)) for room in rooms]
            assert told[1:] == told[:1] * 2, (name, fields)
            assert told[0][0] in (400, 404)
            if ["?"] not in fields.values():  # a socket does not hear out who sends much that cannot be read
                said = [await talk.ask(name, id="the same", room=room, **fields) for room in rooms]
                assert said[1:] == said[:1] * 2, (name, fields)
                assert said[0]["code"] == "not_found"
        assert not [frame for frame in talk.heard if frame.get("room") in (private, direct)]
