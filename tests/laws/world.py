"""People who do things: endless wishes by several actors, some sensible and some not, in a world that they see.

    actor, session, command = wish(chance, look(states), kinds)

`chance` is a `random.Random` of some seed. `states` are those of all keys there are, from a dict, a store or a server;
whoever carries a wish out shows the next one what became of it.

A message is made field by field. A field whose name means something is mostly given what means something here, as
the id of a room that there is; any other value is made of the field's type. So a new command is wished as soon as it
is wired, without a word in this file, and nothing that is wished lies beyond the limits.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from chat.domain.accounts import Account, CreateInvite, Invite, ReactivateAccount, Register
from chat.domain.messages import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    Message,
    PinMessage,
    RemoveReaction,
    SendMessage,
    UnpinMessage,
)
from chat.domain.rooms import AddMember, ChangeRole, CreateRoom, JoinRoom, RemoveMember, Room, UnarchiveRoom
from chat.domain.vocabulary import Command, Query, State
from chat.logic.keys import id_of

NAMES: Final = ["ann", "Ann", "bob", "cat", "dan", "eve", "ｂｏｂ", "a.b-c", "Жанна", "日本", "fay", "gil", "hal"]
HASHES: Final = ["hash", "another", "a-third"]
TEXTS: Final = ["hi", "Hello, @ann!", "@bob @n1. @Ann", "日本 🎉", "\x01 x\n", "me@bob", "a long one"]
WORDS: Final = [*TEXTS, *HASHES, "+1", "🎉"]
PEOPLE: Final = 5  # accounts that a world has before it does much else
ROOMS: Final = 3
# What people do beside everything else, so that rooms fill and there is something to take back.
MOSTLY: Final[dict[type[Command], int]] = {
    SendMessage: 12,
    EditMessage: 3,
    DeleteMessage: 2,
    AddReaction: 2,
    JoinRoom: 2,
    AddMember: 2,
    ChangeRole: 1,
    RemoveMember: 1,
    PinMessage: 2,
    RemoveReaction: 1,
    UnpinMessage: 1,
}


class Wish(NamedTuple):
    """`actor` says nothing of who registers or logs in: they act for the account that they make or name."""

    actor: str
    session: str
    command: Command


class Seen(NamedTuple):
    """What can be named in a world."""

    accounts: dict[str, Account]
    rooms: dict[str, Room]
    messages: dict[str, dict[int, Message]]  # of each room
    invites: list[str]


class Scene(NamedTuple):
    """Where a field is filled in: who wishes, and the fields filled in before."""

    seen: Seen
    kind: type[Command | Query]
    actor: str
    made: dict[str, Any]


def look(states: Mapping[str, State]) -> Seen:
    seen = Seen({}, {}, {}, [])
    for key, state in states.items():
        match state:
            case Account() if state.name:
                seen.accounts[id_of(key)] = state
            case Room() if state.kind:
                seen.rooms[id_of(key)] = state
            case Message() if state.seq:
                seen.messages.setdefault(id_of(key).partition(":")[0], {})[state.seq] = state
            case Invite() if state.by:
                seen.invites.append(id_of(key))
    return seen


def wish(chance: Random, seen: Seen, kinds: Sequence[type[Command]]) -> Wish:
    """What somebody wishes next, one of `kinds`."""
    kind = _kind(chance, seen, kinds)
    scene = begin(chance, seen, kind)
    sessions = _sessions(scene)
    session = chance.choice(sessions) if sessions else ""
    return Wish(scene.actor, session, message(chance, scene))


def _kind(chance: Random, seen: Seen, kinds: Sequence[type[Command]]) -> type[Command]:
    if Register in kinds and (not seen.accounts or (len(seen.accounts) < PEOPLE and chance.randrange(3))):
        return Register
    if CreateRoom in kinds and len(seen.rooms) < ROOMS and not chance.randrange(3):
        return CreateRoom
    return chance.choice([*kinds, *(kind for kind in kinds for _ in range(MOSTLY.get(kind, 0)))])


def begin(chance: Random, seen: Seen, kind: type[Command | Query]) -> Scene:
    """Somebody, and a room if it takes one. Mostly one that is in the room, or one that rules the server."""
    if "room" not in _named(kind) or not seen.rooms:
        rulers = [name for name, account in seen.accounts.items() if account.role != "member"]
        return Scene(seen, kind, _somebody(chance, seen, rulers), {})
    room = chance.choice([*_fitting(seen, kind) * 3, *seen.rooms])
    members = seen.rooms[room].members
    mostly = [name for name in seen.accounts if name not in members] if kind is JoinRoom else list(members)
    return Scene(seen, kind, _somebody(chance, seen, mostly), {"room": room})


def _fitting(seen: Seen, kind: type[Command | Query]) -> list[str]:
    """The rooms where something may come of it."""
    found = seen.messages if "message" in _named(kind) else seen.rooms
    rooms = {name: seen.rooms[name] for name in found}
    if kind is JoinRoom:
        return [name for name, room in rooms.items() if room.kind == "public"]
    return [name for name, room in rooms.items() if room.archived == (kind is UnarchiveRoom)]


def _somebody(chance: Random, seen: Seen, mostly: list[str]) -> str:
    active = [name for name in mostly if name in seen.accounts and seen.accounts[name].active]
    if active and chance.randrange(4):
        return active[0] if not chance.randrange(3) else chance.choice(active)
    return chance.choice(["nobody", *seen.accounts])


def message(chance: Random, scene: Scene) -> Any:
    """A command or query, within all limits."""
    for field in _fields(scene.kind):
        if field.name == "id" or (field.name in scene.made and chance.randrange(20)):
            continue
        known = [value for value in KNOWN.get(field.name, _nothing)(scene) if _fits(value, field.type)]
        seldom = 20 if field.name in KNOWN and not known else 2
        if field.required or not chance.randrange(seldom):
            scene.made[field.name] = _value(chance, known, field.type)
    return msgspec.convert(scene.made, scene.kind)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _named(kind: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in _fields(kind)}


def _fits(value: object, kind: inspect.Type) -> bool:
    """Whether it is a number where one is asked for: `after` is a message here and an account there."""
    return isinstance(value, int) == any(isinstance(one, inspect.IntType) for one in _choices(kind))


def _choices(kind: inspect.Type) -> Sequence[inspect.Type]:
    return kind.types if isinstance(kind, inspect.UnionType) else [kind]


def _value(chance: Random, known: Sequence[Any], kind: inspect.Type) -> Any:
    if not known or not chance.randrange(12):
        return of_type(chance, kind)
    if any(isinstance(one, inspect.VarTupleType) for one in _choices(kind)):
        return [chance.choice(known) for _ in range(chance.randrange(4))]
    return chance.choice(known)


# ---- what means something


def _nothing(_: Scene) -> Sequence[Any]:
    return []


def _rooms(scene: Scene) -> Sequence[str]:
    own = scene.seen.accounts[scene.actor].rooms if scene.actor in scene.seen.accounts else {}
    return [*own, *own, *own, *scene.seen.rooms]


def _accounts(scene: Scene) -> Sequence[str]:
    """Mostly others, and in a room those who are there."""
    if scene.kind is ReactivateAccount:
        return [name for name, account in scene.seen.accounts.items() if not account.active]
    room = scene.seen.rooms.get(scene.made.get("room", ""))
    others = [name for name in (room.members if room else scene.seen.accounts) if name != scene.actor]
    return [*others, *others, *scene.seen.accounts]


def _messages(scene: Scene) -> Sequence[int]:
    """Mostly those that stand, the more so where something was done with them."""
    there = scene.seen.messages.get(scene.made.get("room", ""), {})
    alive = [seq for seq, message in there.items() if message.text]
    handled = [seq for seq in alive if there[seq].pinned is True or there[seq].reactions or there[seq].edited_at]
    return [*alive, *handled, *handled, *handled, *there]


def _emoji(scene: Scene) -> Sequence[str]:
    there = scene.seen.messages.get(scene.made.get("room", ""), {}).get(scene.made.get("message", 0))
    return [*(there.reactions if there else ()), "+1", "🎉"]


def _sessions(scene: Scene) -> Sequence[str]:
    return list(scene.seen.accounts[scene.actor].sessions) if scene.actor in scene.seen.accounts else []


def _passwords(scene: Scene) -> Sequence[str]:
    """That of the account in question, or a new one."""
    account = scene.seen.accounts.get(scene.made.get("account", scene.actor))
    return [*([account.password] if account else []), *HASHES]


def _names(scene: Scene) -> Sequence[str]:
    return [f"n{len(scene.seen.accounts)}"] * len(NAMES) + NAMES


def _invites(scene: Scene) -> Sequence[str]:
    return [f"invite{len(scene.seen.invites)}"] if scene.kind is CreateInvite else scene.seen.invites


KNOWN: Final[dict[str, Callable[[Scene], Sequence[Any]]]] = {
    "room": _rooms,
    "rooms": _rooms,
    "account": _accounts,
    "accounts": _accounts,
    "author": _accounts,
    "members": _accounts,
    "message": _messages,
    "reply_to": _messages,
    "before": _messages,
    "after": lambda scene: [*_messages(scene), *_accounts(scene)],
    "around": _messages,
    "emoji": _emoji,
    "session": _sessions,
    "old": _passwords,
    "password": _passwords,
    "invite": _invites,
    "name": _names,
    "token": lambda _: ["token"],
    "kind": lambda _: ["public", "public", "private"],
    "uses": lambda _: [1, 2],
    "hours": lambda _: [1, 24],
}

# ---- what is of a type


def of_type(chance: Random, kind: inspect.Type) -> Any:
    match kind:
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return bool(chance.randrange(2))
        case inspect.IntType():
            return chance.choice(_integers(kind.ge, kind.gt, kind.le, kind.lt))
        case inspect.StrType():
            return chance.choice(_strings(kind.pattern, kind.min_length, kind.max_length))
        case inspect.LiteralType():
            return chance.choice(kind.values)
        case inspect.UnionType():
            return of_type(chance, chance.choice(kind.types))
        case inspect.VarTupleType():
            return [of_type(chance, kind.item_type) for _ in range(chance.randrange(3))]
        case _:
            raise TypeError(f"nothing here is made of {kind}")


@cache
def _integers(ge: int | None, gt: int | None, le: int | None, lt: int | None) -> list[int]:
    """The least and the greatest, and some between."""
    least = ge if ge is not None else -1 if gt is None else gt + 1
    most = le if le is not None else least + 9 if lt is None else lt - 1
    return sorted({least, min(least + 1, most), min(max(least, 5), most), most})


@cache
def _strings(pattern: str | None, least: int | None, most: int | None) -> list[str]:
    """The words that are of the type. A string without a limit is a hash, or something that was checked before."""
    if (pattern, least, most) == (None, None, None):
        return HASHES
    meta = msgspec.Meta(pattern=pattern, min_length=least, max_length=most)
    found = [word for word in (*WORDS, *NAMES, "") if _is(word, meta)]
    assert found, f"no word is of {meta}"
    return found


def _is(word: str, meta: msgspec.Meta) -> bool:
    try:
        msgspec.convert(word, Annotated[str, meta])
    except msgspec.ValidationError:
        return False
    return True
