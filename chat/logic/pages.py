"""Questions about messages: pages of a room's history, and search.

A message's state is stored as clients get it, so a page is its states joined, never decoded. It stops short of a frame.
Rows may be newer than what this node knows. Who may read is decided on what it knows, so nothing newer is looked for:
somebody who was removed a moment ago, by another node, does not read what was said since.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Raw

from chat.domain import limits
from chat.domain.accounts import Account
from chat.domain.errors import Refused
from chat.domain.log import Hit, Holding, Range
from chat.domain.messages import ListMessages, SearchMessages
from chat.domain.rooms import Room
from chat.logic.find import Find
from chat.logic.keys import message_key, room_key
from chat.logic.mediator import Context
from chat.logic.roles import acting, permit
from chat.logic.words import by_author, cut, in_room

ROOM_FOR_ROWS = limits.FRAME - 4_096  # what is left of a frame when an answer has named itself


def list_messages(room: Room, query: ListMessages, context: Context) -> tuple[Room, Find]:
    permit(room, query, context)
    if [query.before, query.after, query.around].count(None) < 2:
        raise Refused("malformed", "Give one of before, after and around.", field="before")
    if query.after is not None:
        newer = _range(query.room, query.after + 1, room.last, query.limit + 1)
        return room, Find((newer,), lambda found, _: _forward(found[0], query.limit))
    if query.around is not None:
        return room, _around(query, room.last)
    last = room.last if query.before is None else min(query.before - 1, room.last)
    older = _range(query.room, 1, last, query.limit + 1, newest=True)
    return room, Find((older,), lambda found, _: _backward(found[0], query.limit))


def _around(query: ListMessages, last: int) -> Find:
    """The message itself counts among the older half."""
    assert query.around is not None
    after = query.limit // 2
    older = _range(query.room, 1, min(query.around, last), query.limit - after + 1, newest=True)
    newer = _range(query.room, query.around + 1, last, after + 1)

    def then(found: Sequence[Sequence[bytes]], _: Context) -> dict[str, Any]:
        before = _backward(found[0], query.limit - after, ROOM_FOR_ROWS // 2)
        behind = _forward(found[1], after, ROOM_FOR_ROWS // 2)
        messages = before["messages"] + behind["messages"]
        return {"messages": messages, "more": before["more"], "newer": behind["more"]}

    return Find((older, newer), then)


def _range(room: str, first: int, last: int, limit: int, *, newest: bool = False) -> Range:
    clamp = [message_key(room, min(max(seq, 0), limits.INTEGER - 1)) for seq in (first, last)]
    return Range(first=clamp[0], last=clamp[1], limit=limit, newest=newest)


def _forward(states: Sequence[bytes], limit: int, size: int = ROOM_FOR_ROWS) -> dict[str, Any]:
    kept = fitting(states[:limit], size)
    return {"messages": [Raw(state) for state in kept], "more": len(states) > len(kept)}


def _backward(states: Sequence[bytes], limit: int, size: int = ROOM_FOR_ROWS) -> dict[str, Any]:
    page = _forward(states, limit, size)
    page["messages"].reverse()
    return page


def fitting(states: Sequence[bytes], size: int) -> Sequence[bytes]:
    """As many as `size` bytes hold; nearly always that is all of them."""
    if sum(map(len, states)) + len(states) <= size:
        return states
    ends = list(accumulate(len(state) + 1 for state in states))
    return states[: bisect_right(ends, size)]


def search_messages(account: Account, query: SearchMessages, context: Context) -> tuple[Account, Any]:
    """In one room or in all of the asker's, newest first; `before` and a row's `position` are places in the log."""
    acting(context)
    if query.room is not None:
        permit(context.look(room_key(query.room), Room), query, context)
    words = cut(query.text)
    rooms = tuple(account.rooms) if query.room is None else (query.room,)
    if not words or not rooms:
        return account, {"messages": [], "more": False}
    among: list[tuple[str, ...]] = [tuple(map(in_room, rooms))]
    if query.author is not None:
        among.append((by_author(query.author),))
    before = context.position + 1 if query.before is None else min(query.before, context.position + 1)
    holding = Holding(words=words, among=tuple(among), before=before, limit=query.limit + 1)
    return account, Find((holding,), lambda found, _: _hits(found[0], query.limit))


def _hits(found: Sequence[Hit], limit: int) -> dict[str, Any]:
    kept = fitting([_shown(hit) for hit in found[:limit]], ROOM_FOR_ROWS)
    return {"messages": [Raw(hit) for hit in kept], "more": len(found) > len(kept)}


def _shown(hit: Hit) -> bytes:
    """A message's state with the room that it is in and its position put before it."""
    where = msgspec.json.encode({"room": hit.key.split(":", 2)[1], "position": hit.position})
    return where[:-1] + b"," + hit.state[1:]
