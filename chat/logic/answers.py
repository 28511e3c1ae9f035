"""Questions about rooms, accounts and the server. What a client holds at its first moment is `me` and `list_rooms`."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chat.domain import limits
from chat.domain.accounts import (
    Account,
    Invite,
    ListAccounts,
    ListInvites,
    ListSessions,
    Me,
    Reading,
    Server,
    Welcome,
)
from chat.domain.errors import Refused
from chat.domain.log import Listed, Range
from chat.domain.rooms import BrowseRooms, ListMembers, ListRooms, Room, ShowRoom, WhoIsOnline
from chat.logic import lists
from chat.logic.accounts import is_usable
from chat.logic.find import Find
from chat.logic.keys import account_key, id_of, message_key, room_key
from chat.logic.mediator import Context, Version
from chat.logic.roles import acting, can_see, may_see, permit, permit_on_server

SHARED: Final = 64  # seqs; who has read up to any of these has the same rows looked at

Answer = dict[str, Any]
Heard = tuple[int, str]  # a message's seq, and who wrote it; nobody, when it was deleted


class _Message(Struct):
    """As much of a message's row as tells whether it is news."""

    seq: int
    author: str
    deleted: bool | UnsetType = UNSET


_messages = msgspec.json.Decoder(list[_Message])


def welcome(server: Server, _: Welcome, context: Context) -> tuple[Server, Answer]:
    setup = not server.accounts
    answer: Answer = {
        "setup": setup,
        "link": setup and bool(context.setup),
        "registration": context.registration,
    }
    if context.actor:
        answer["account"] = account_of(context.actor, context.look(account_key(context.actor), Account))
    return server, answer


def me(account: Account, _: Me, context: Context) -> tuple[Account, Answer]:
    acting(context)
    answer: Answer = {"account": account_of(context.actor, account), "limits": limits.PUBLISHED}
    if account.one_time:
        answer["password_expired"] = True
    return account, answer


def account_of(name: str, account: Account) -> Answer:
    """An account as others see it."""
    shown: Answer = {"id": name, "name": account.name, "role": account.role}
    if account.bot:
        shown["bot"] = True
    if not account.active:
        shown["active"] = False
    return shown


def list_rooms(account: Account, _: ListRooms, context: Context) -> tuple[Account, Any]:
    """One row of each room; only rooms with news cost a look at their messages."""
    acting(context)
    context.look_all([room_key(room) for room in account.rooms], Room)
    rooms = {room: context.states.at(room_key(room)) for room in account.rooms}
    news = {room: version for room, version in rooms.items() if _last(version) > account.rooms[room].read}
    unread = tuple(_unread(room, account.rooms[room], version) for room, version in news.items())

    def then(found: Sequence[Sequence[Heard]], _: Context) -> Answer:
        counts = {
            room: _news(heard, account.rooms[room], context.actor) for room, heard in zip(news, found, strict=True)
        }
        return {
            "rooms": [
                room_of(room, version, account.rooms[room], counts.get(room, 0), context)
                for room, version in rooms.items()
            ]
        }

    return account, Find(unread, then, _heard, lasting=True)


def _last(version: Version) -> int:
    assert isinstance(version.state, Room)
    return version.state.last


def _unread(room: str, reading: Reading, version: Version) -> Range:
    """The messages behind what was read, and a few before: those who come back together want the same rows then. They
    are those of this version, as whatever becomes of one of them makes another.
    """
    first = reading.read - reading.read % SHARED + 1
    last = message_key(room, version.seq)
    return Range(first=message_key(room, first), last=last, limit=limits.UNREAD + SHARED)


def _heard(states: Sequence[bytes]) -> list[Heard]:
    messages = _messages.decode(b"[" + b",".join(states) + b"]")
    return [(message.seq, message.author if message.deleted is UNSET else "") for message in messages]


def _news(heard: Sequence[Heard], reading: Reading, reader: str) -> int:
    """How many of the messages behind what was read are there, and not the reader's own."""
    behind = [author for seq, author in heard if seq > reading.read]
    return sum(author not in ("", reader) for author in behind[: limits.UNREAD])


def room_of(name: str, version: Version, reading: Reading, unread: int, context: Context) -> Answer:
    """A room as one of its members sees it."""
    room = version.state
    assert isinstance(room, Room)
    shown: Answer = {
        "id": name,
        "title": room.title,
        "kind": room.kind,
        "seq": version.seq,
        "read": reading.read,
        "unread": unread,
        "mentions": len(reading.mentions),
        "role": room.members.get(context.actor),
        "archived": room.archived,
    }
    if room.kind == "direct":
        shown["with"] = next((member for member in room.members if member != context.actor), context.actor)
    return shown


def show_room(room: Room, query: ShowRoom, context: Context) -> tuple[Room, Any]:
    """One room, as far as the asker may see it: a public one also from outside."""
    acting(context)
    may_see(room, context)
    version = context.states.at(room_key(query.room))
    reading = context.look(account_key(context.actor), Account).rooms.get(query.room)
    if reading is None:
        outside = room_of(query.room, version, Reading(read=version.seq), 0, context)
        return room, outside | {"members": len(room.members)}

    def then(found: Sequence[Sequence[Heard]], _: Context) -> Answer:
        shown = room_of(query.room, version, reading, _news(found[0], reading, context.actor), context)
        return shown | {"members": len(room.members), "pins": room.pins}

    return room, Find((_unread(query.room, reading, version),), then, _heard, lasting=True)


def browse_rooms(account: Account, query: BrowseRooms, context: Context) -> tuple[Account, Find]:
    acting(context)

    def then(found: Sequence[Sequence[str]], later: Context) -> Answer:
        keys = found[0]
        rooms = zip(keys, later.look_all(keys, Room), strict=True)
        return {
            "rooms": [
                {
                    "id": id_of(key),
                    "title": room.title,
                    "members": len(room.members),
                    "joined": context.actor in room.members,
                }
                for key, room in rooms
            ]
        }

    listed = Listed(list=lists.PUBLIC_ROOMS, text=lists.label(query.text), limit=limits.PAGE)
    return account, Find((listed,), then)


def list_members(room: Room, query: ListMembers, context: Context) -> tuple[Room, Answer]:
    permit(room, query, context)
    members = list(room.members)
    if query.after is not None and query.after not in room.members:
        raise Refused("not_found", "This account is not a member of the room.", field="after")
    start = 0 if query.after is None else members.index(query.after) + 1
    page = members[start : start + query.limit]
    accounts = context.look_all([account_key(member) for member in page], Account)
    return room, {
        "members": [
            {"account": member, "name": account.name, "role": room.members[member]}
            for member, account in zip(page, accounts, strict=True)
        ],
        "more": start + len(page) < len(members),
    }


def who_is_online(room: Room, query: WhoIsOnline, context: Context) -> tuple[Room, Answer]:
    permit(room, query, context)
    return room, {"online": [member for member in room.members if member in context.online]}


def list_accounts(account: Account, query: ListAccounts, context: Context) -> tuple[Account, Any]:
    acting(context)
    if query.accounts is not None:
        named = [account_key(name) for name in dict.fromkeys(query.accounts)]
        return account, {"accounts": _accounts(named, context), "more": False}
    after = ("", "")
    if query.after is not None:
        key = account_key(query.after)
        after = (lists.label(context.look(key, Account).name), key)

    def then(found: Sequence[Sequence[str]], later: Context) -> Answer:
        keys = found[0]
        return {
            "accounts": _accounts(keys[: limits.PAGE], later),
            "more": len(keys) > limits.PAGE,
        }

    text = lists.label(query.text)
    listed = Listed(list=lists.ACCOUNTS, text=text, after=after, limit=limits.PAGE + 1)
    return account, Find((listed,), then)


def _accounts(keys: Sequence[str], context: Context) -> list[Answer]:
    accounts = zip(keys, context.look_all(keys, Account), strict=True)
    return [account_of(id_of(key), account) for key, account in accounts if account.name]


def list_sessions(account: Account, _: ListSessions, context: Context) -> tuple[Account, Answer]:
    acting(context)
    sessions = []
    for name, session in account.sessions.items():
        if context.now < session.expires:
            shown: Answer = {"session": name, "started": session.started, "expires": session.expires}
            sessions.append(shown | ({"current": True} if name == context.session else {}))
    return account, {"sessions": sessions}


def list_invites(account: Account, query: ListInvites, context: Context) -> tuple[Account, Find]:
    """The invitations that can still be used, by when they end; of the rooms that they open, those that the asker can
    see.
    """
    permit_on_server(query, context)

    def then(found: Sequence[Sequence[str]], later: Context) -> Answer:
        keys = found[0]
        invites = list(zip(keys, later.look_all(keys, Invite), strict=True))
        opened = list(dict.fromkeys(room for _, invite in invites for room in invite.rooms))
        seen = {
            name
            for name, room in zip(opened, later.look_all([room_key(name) for name in opened], Room), strict=True)
            if can_see(room, later)
        }
        return {
            "invites": [
                {
                    "invite": id_of(key),
                    "by": invite.by,
                    "uses": invite.uses,
                    "left": invite.uses - invite.used,
                    "expires": invite.expires,
                    "rooms": [room for room in invite.rooms if room in seen],
                }
                for key, invite in invites
                if is_usable(invite, later.now)
            ]
        }

    # Their label is the time when they end, so those that ended stand before `now` and are not read.
    listed = Listed(list=lists.INVITES, after=(context.now, ""), limit=limits.PAGE)
    return account, Find((listed,), then)
