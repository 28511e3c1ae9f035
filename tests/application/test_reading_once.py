"""Those who come back together want the same rows: they are read for the first of them, and kept."""

import asyncio
from contextlib import suppress

import pytest

from chat.application import lasting
from chat.domain.errors import Refused, Unavailable
from chat.domain.log import LogInfo
from chat.domain.messages import DeleteMessage, SendMessage
from chat.domain.rooms import AddMember, ListRooms
from tests.application.fakes import World, until, world


async def crowd(size: int) -> tuple[World, str, str, list[str]]:
    """A room in which its owner has said something that none of the others has read."""
    here = await world()
    ann, *others = [await here.register(f"name{number}") for number in range(size + 1)]
    room = await here.room(ann)
    for other in others:
        await here.do(ann, AddMember(id=f"add {other}", room=room, account=other))
    await here.do(ann, SendMessage(id="said", room=room, text="hi"))
    here.faulty.calls.clear()
    return here, ann, room, others


async def unread(here: World, account: str) -> int:
    [room] = (await here.node.ask(ListRooms(), account))["rooms"]
    return int(room["unread"])


async def test_all_who_come_together_have_it_read_once() -> None:
    here, ann, _, others = await crowd(20)
    assert await asyncio.gather(*(unread(here, other) for other in others)) == [1] * 20
    assert here.faulty.calls == ["find"]
    assert await unread(here, ann) == 0  # ones own are no news, though the rows are the same
    assert here.faulty.calls == ["find"]


async def test_whatever_happens_in_the_room_is_read_anew() -> None:
    here, ann, room, [bob] = await crowd(1)
    assert await unread(here, bob) == 1
    ack = await here.do(ann, SendMessage(id="more", room=room, text="hi again"))
    assert await unread(here, bob) == 2
    await here.do(ann, DeleteMessage(id="gone", room=room, message=ack["seq"]))
    assert await unread(here, bob) == 1
    assert here.faulty.calls.count("find") == 3


async def test_another_history_is_read_anew() -> None:
    here, _, _, [bob] = await crowd(1)
    await unread(here, bob)
    here.node.cursor.jump(LogInfo("another", 1, here.node.cursor.position))
    await unread(here, bob)
    assert here.faulty.calls.count("find") == 2


async def test_what_could_not_be_read_is_read_by_the_next() -> None:
    here, _, _, others = await crowd(2)
    here.faulty.faults["find"] = [Unavailable("gone")]
    for refused in await asyncio.gather(*(unread(here, other) for other in others), return_exceptions=True):
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry_after) == ("unavailable", 1.0)
    assert await unread(here, others[0]) == 1


async def test_the_first_may_be_gone_when_it_is_read() -> None:
    here, _, _, [bob, cat] = await crowd(2)
    here.faulty.gates["find"] = asyncio.Event()
    first, second = (asyncio.create_task(unread(here, name)) for name in (bob, cat))
    await until(lambda: here.faulty.waiting)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    here.faulty.gates["find"].set()
    assert await second == 1
    assert here.faulty.calls == ["find"]


async def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "KEPT", 3)
    here, ann, room, [bob] = await crowd(1)
    for number in range(5):
        await here.do(ann, SendMessage(id=f"{number}", room=room, text="hi"))
        assert await unread(here, bob) == number + 2
    assert len(here.node.reading._lasting._kept) == 3
