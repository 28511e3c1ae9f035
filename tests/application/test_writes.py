"""What a turn leaves in the store: its events, and as much of their folds as somebody will want to read."""

from itertools import pairwise

from chat.application.cache import TAIL_EVENTS
from chat.domain.accounts import ChangePassword, RenameAccount
from chat.domain.messages import AddReaction, DeleteMessage, EditMessage, SendMessage
from chat.domain.rooms import ArchiveRoom, CreateRoom, JoinRoom, RenameRoom
from chat.logic.keys import SERVER, account_key, message_key, name_key, room_key
from tests.application.fakes import World, world


async def tea() -> tuple[World, str, str, str]:
    made = await world()
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


def written(here: World) -> dict[str, int]:
    """The states that the store has, and at which seq of their streams."""
    return {key: row.seq for key, row in here.store.memory.fold.states.items()}


def send(room: str, number: int | str, text: str = "hi") -> SendMessage:
    return SendMessage(id=f"send {number}", room=room, text=text)


async def test_a_state_that_another_stream_changed_is_written_at_once() -> None:
    here, ann, bob, room = await tea()
    assert written(here).keys() >= {account_key(ann), name_key("ann"), SERVER}
    before = written(here)[account_key(bob)]
    await here.do(ann, send(room, 1))
    assert written(here)[message_key(room, 4)] == 0  # it has no stream of its own
    assert room_key(room) not in written(here)
    other = (await here.do(ann, CreateRoom(id="2", title="Other", kind="public")))["room"]
    await here.do(bob, JoinRoom(id="3", room=other))
    assert written(here)[account_key(bob)] == before  # of its own stream there is nothing new
    assert other in here.store.memory.fold.states[account_key(bob)].state.decode()


async def test_a_room_is_written_when_its_tail_is_long_and_then_not_for_a_while() -> None:
    here, ann, _, room = await tea()
    at: list[int] = []
    for number in range(3 * TAIL_EVENTS):
        await here.do(ann, send(room, number))
        seq = written(here).get(room_key(room), 0)
        if seq and seq not in at:
            at.append(seq)
    assert len(at) in (2, 3)
    assert at[0] > TAIL_EVENTS
    assert all(after - before > TAIL_EVENTS for before, after in pairwise(at))


async def test_whatever_is_forgotten_is_found_in_the_store_as_it_was() -> None:
    here, ann, bob, room = await tea()
    for number in range(2 * TAIL_EVENTS + 7):
        await here.do(ann, send(room, number, "@bob hi"))
        if number % 50 == 0:
            await here.do(ann, RenameRoom(id=f"rename {number}", room=room, title=f"{number}"))
    keys = [room_key(room), account_key(ann), account_key(bob), SERVER, message_key(room, 50), name_key("bob")]
    here.node.cache.admit(await here.store.load(keys))
    known = {key: here.node.cache.get(key) for key in keys}
    here.forget()
    here.node.cache.admit(await here.store.load(keys))
    assert {key: here.node.cache.get(key) for key in keys} == known


async def test_what_is_deleted_is_blank_in_every_row_that_told_of_it() -> None:
    here, ann, bob, room = await tea()
    await here.do(bob, send(room, 1, "regrettable"))
    await here.do(bob, EditMessage(id="2", room=room, message=4, text="regrettable indeed"))
    await here.do(ann, AddReaction(id="3", room=room, message=4, emoji="🙈"))
    await here.do(bob, send(room, 4, "something else"))
    assert here.store.memory.fold.words["regrettable"]
    await here.do(bob, DeleteMessage(id="5", room=room, message=4))
    rows = here.store.memory.log.rows
    assert not any(b"regrettable" in row.event for row in rows)
    assert not any(b"regrettable" in row.state for row in here.store.memory.fold.states.values())
    assert not here.store.memory.fold.words["regrettable"]
    assert here.store.memory.fold.words["something"]
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))


async def test_a_hash_is_gone_from_the_store_when_it_is_good_no_more() -> None:
    here, ann, _, _ = await tea()

    def traces(text: str) -> int:
        rows = [row.event for row in here.store.memory.log.rows]
        return str([*rows, *(row.state for row in here.store.memory.fold.states.values())]).count(text)

    assert traces("hash of ann") >= 3  # password and token, and the state that holds both
    await here.do(ann, ChangePassword(id="1", old="hash of ann", new="another hash"))
    assert traces("another hash") == 2
    assert traces("hash of ann") == 0  # the sessions ended too: nobody asked from one of them


async def test_lists_follow_what_they_are_of() -> None:
    here, ann, _, _ = await tea()

    def listed(name: str) -> list[str]:
        return [label for (kind, label, _) in here.store.memory.fold.listed if kind == name]

    room = (await here.do(ann, CreateRoom(id="1", title="Größe", kind="public")))["room"]
    assert listed("public_rooms") == ["grösse"]
    await here.do(ann, RenameRoom(id="2", room=room, title="Maß"))
    assert listed("public_rooms") == ["mass"]
    await here.do(ann, ArchiveRoom(id="3", room=room))
    assert listed("public_rooms") == []
    assert listed("accounts") == ["ann", "bob"]
    await here.do(ann, RenameAccount(id="4", name="Zoe"))
    assert listed("accounts") == ["bob", "zoe"]


async def test_words_follow_the_text() -> None:
    here, ann, _, room = await tea()
    await here.do(ann, send(room, 1, "first words"))
    position = here.head
    assert here.store.memory.fold.words["words"] == {position}
    here.forget()
    await here.do(ann, EditMessage(id="2", room=room, message=4, text="second words"))
    words = here.store.memory.fold.words
    assert (words["first"], words["second"], words["words"]) == (set(), {position}, {position})
