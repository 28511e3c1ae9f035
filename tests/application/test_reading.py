"""Questions beside turns: every answer is of one moment, the cursor's, whatever the store shows meanwhile."""

import asyncio

import pytest

from chat.application.reading import AT_ONCE, ROUNDS
from chat.domain.accounts import Account, Me
from chat.domain.errors import Refused, Unavailable
from chat.domain.messages import ListMessages, SearchMessages, SendMessage
from chat.domain.rooms import AddMember, ListRooms, RenameRoom, Room
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context, Missing
from tests.application.fakes import FaultyStore, World, until, world


async def tea() -> tuple[World, str, str, str]:
    made = await world()
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann)


def title(room: str, context: Context) -> tuple[str, int]:
    version = context.states.at(room_key(room))
    assert isinstance(version.state, Room)
    return version.state.title, version.seq


async def test_what_is_at_hand_is_answered_without_the_store() -> None:
    here, ann, _, _ = await tea()
    here.faulty.calls.clear()
    assert (await here.node.ask(Me(), ann))["account"]["name"] == "ann"
    assert here.faulty.calls == []


async def test_what_is_missing_is_loaded_once() -> None:
    here, ann, _, room = await tea()
    here.forget()
    here.faulty.calls.clear()
    for _ in range(2):
        rooms = (await here.node.ask(ListRooms(), ann))["rooms"]
    assert [(shown["id"], shown["seq"]) for shown in rooms] == [(room, 2)]
    assert here.faulty.calls == ["load", "load"]  # the account, then its rooms


async def test_what_happens_during_a_load_is_in_the_answer() -> None:
    here, ann, bob, room = await tea()
    here.forget()
    here.faulty.gates["load"] = asyncio.Event()
    asking = asyncio.create_task(here.node.reading.consult(lambda context: title(room, context), ann))
    await until(lambda: here.faulty.waiting)  # the store has looked, and its answer is on its way
    await here.do(ann, RenameRoom(id="1", room=room, title="Later"))
    await here.do(ann, AddMember(id="2", room=room, account=bob))
    here.forget()
    here.faulty.gates["load"].set()
    assert await asking == ("Later", 4)
    version = here.node.cache.get(room_key(room))
    assert version
    assert bob in version.state.members  # type: ignore[attr-defined]


async def test_a_load_that_is_ahead_of_the_cursor_waits_for_it_and_nobody_sees_it_before() -> None:
    here, ann, _, room = await tea()
    other = World(FaultyStore(here.store.memory), ids="other")
    await other.node.start()
    await other.do(ann, RenameRoom(id="1", room=room, title="Ahead"))
    here.forget()
    asking = asyncio.create_task(here.node.reading.consult(lambda context: title(room, context), ann))
    await until(lambda: here.node.cursor._waiting)
    assert here.node.cache.get(room_key(room)) is None
    assert here.node.cursor.position < here.head
    await here.node.follower.catch_up()
    assert await asking == ("Ahead", 3)


async def test_a_view_from_before_the_question_is_not_taken_in() -> None:
    """As a replica may show it, whose lag nobody knows."""
    here, ann, _, room = await tea()
    stale = await here.store.load([room_key(room), account_key(ann)])
    await here.do(ann, RenameRoom(id="1", room=room, title="New"))
    here.forget()
    load = here.store.load
    answers = [stale]

    async def replica(keys: tuple[str, ...]) -> object:
        return answers.pop() if answers else await load(keys)

    here.store.load = replica  # type: ignore[method-assign, assignment]
    assert await here.node.reading.consult(lambda context: title(room, context), ann) == ("New", 3)


@pytest.mark.parametrize("call", ["load", "find"])
async def test_a_store_that_does_not_answer_is_a_refusal(call: str) -> None:
    here, ann, _, room = await tea()
    here.forget()
    here.faulty.faults[call] = [Unavailable("gone")]
    with pytest.raises(Refused) as refused:
        await here.node.ask(ListMessages(room=room), ann)
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1.0)
    assert (await here.node.ask(ListMessages(room=room), ann))["messages"] == []


async def test_a_question_that_never_has_enough_is_given_up() -> None:
    here, _, _, _ = await tea()
    numbers = iter(range(1_000))

    def greedy(context: Context) -> None:
        raise Missing([account_key(f"{next(numbers)}")])

    with pytest.raises(Refused):
        await here.node.reading.consult(greedy)
    assert next(numbers) == ROUNDS


async def test_asking_for_much_leaves_the_cache_within_its_bound() -> None:
    here, ann, _, _ = await tea()
    here.node.cache.bound = 4_096
    for number in range(50):
        await here.node.reading.consult(lambda context, n=number: context.look(account_key(f"nobody{n}"), Account))  # type: ignore[misc]
    assert len(here.node.cache) <= 4
    here.node.cache.bound = 0
    assert (await here.node.ask(ListRooms(), ann))["rooms"]  # a single answer may need more than fits
    assert len(here.node.cache) == 0


async def test_a_page_is_of_the_moment_when_its_rows_are_read() -> None:
    here, ann, bob, room = await tea()
    for number in range(5):
        await here.do(ann, SendMessage(id=f"{number}", room=room, text=f"number {number}"))
    page = await here.node.ask(ListMessages(room=room, limit=2), ann)
    assert (len(page["messages"]), page["more"]) == (2, True)
    found = await here.node.ask(SearchMessages(text="number"), ann)
    assert len(found["messages"]) == 5
    with pytest.raises(Refused):
        await here.node.ask(ListMessages(room=room), bob)


async def test_many_rooms_are_looked_at_a_few_at_a_time() -> None:
    here, ann, bob, _ = await tea()
    rooms = [await here.room(ann, bob) for _ in range(2 * AT_ONCE + 1)]
    await here.turn(*((ann, SendMessage(id=f"to {room}", room=room, text="hi")) for room in rooms))
    here.faulty.calls.clear()
    told = await here.node.ask(ListRooms(), bob)
    assert [shown["unread"] for shown in told["rooms"]] == [1] * len(rooms)
    assert here.faulty.calls == ["find"] * 3


async def test_one_account_asks_the_store_for_one_thing_at_a_time() -> None:
    here, ann, bob, room = await tea()
    await here.do(ann, AddMember(id="1", room=room, account=bob))
    here.faulty.gates["find"] = asyncio.Event()
    asking = [asyncio.create_task(here.node.ask(ListMessages(room=room), name)) for name in (ann, ann, bob)]
    here.faulty.calls.clear()
    await until(lambda: len(here.faulty.calls) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert here.faulty.calls == ["find"] * 2  # one of each
    here.faulty.gates["find"].set()
    await asyncio.gather(*asking)
    assert here.faulty.calls == ["find"] * 3
