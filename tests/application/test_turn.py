"""The turn: many commands decided at once, committed once, told once; and what becomes of it when something fails."""

import asyncio
import json
from typing import Any

import pytest
import structlog

from chat.application.codec import FORMAT
from chat.application.follower import Outdated
from chat.application.queue import Again, Outcome
from chat.application.turn import ROUNDS
from chat.domain.errors import Poisoned, Refused, Unavailable
from chat.domain.log import Writes
from chat.domain.messages import DeleteMessage, EditMessage, SendMessage
from chat.domain.rooms import CreateRoom, JoinRoom, RenameRoom, Room
from chat.infra.stores.memory import Memory
from chat.logic import keys, words
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context
from tests.application.fakes import FakeWire, FaultyStore, World, until, world
from tests.logic.given import TABLES


def send(room: str, text: str = "hi", id: str = "") -> SendMessage:
    return SendMessage(id=id or f"send {text}", room=room, text=text)


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def seq(outcome: Outcome) -> int:
    assert isinstance(outcome, bytes), outcome
    return int(json.loads(outcome)["seq"])


async def tea(**settings: Any) -> tuple[World, str, str, str]:
    """A world with ann and bob in a room."""
    made = await world(**settings)
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


async def test_a_turn_is_committed_once_and_told_before_it_is_answered() -> None:
    here, ann, bob, room = await tea()
    wire = FakeWire()
    here.hub.enter(wire, bob, "", {room: 3}).admit(b'{"type":"hello"}')
    here.faulty.calls.clear()
    order: list[str] = []

    def reply(outcome: Outcome) -> None:
        here.hub.flush()
        order.append(f"answered when {len(wire.seqs(room))} were told")

    batch = [here.waiting(ann, send(room, f"{number}"), reply) for number in range(5)]
    await here.node.turns.turn(batch)
    assert here.faulty.calls == ["begin", "commit"]
    assert wire.seqs(room) == [4, 5, 6, 7, 8]
    assert order == ["answered when 5 were told"] * 5
    assert wire.writes == 1  # with hello, in one


async def test_each_command_is_decided_on_what_the_one_before_it_left() -> None:
    here, ann, bob, room = await tea()
    outcomes = await here.turn(
        (ann, RenameRoom(id="1", room=room, title="One")),
        (ann, RenameRoom(id="2", room=room, title="One")),
        (ann, send(room, "three")),
        (bob, EditMessage(id="4", room=room, message=5, text="mine?")),
        (ann, EditMessage(id="5", room=room, message=5, text="mine")),
        (ann, DeleteMessage(id="6", room=room, message=5)),
        (ann, EditMessage(id="7", room=room, message=5, text="gone")),
    )
    told = [json.loads(outcome) if isinstance(outcome, bytes) else outcome.code for outcome in outcomes]
    assert told == [
        {"room": room, "seq": 4},
        {"room": room},
        {"room": room, "seq": 5},
        "forbidden",
        {"room": room, "seq": 6},
        {"room": room, "seq": 7},
        "not_found",
    ]


async def test_a_refused_command_leaves_nothing() -> None:
    here, ann, _, _ = await tea()
    before = here.head
    [outcome] = await here.turn((ann, JoinRoom(id="1", room="nowhere")))
    assert code(outcome) == "not_found"
    assert (here.head, here.store.memory.lock.locked()) == (before, False)
    assert (ann, "1") not in here.store.memory.answers


async def test_a_command_that_changes_nothing_is_kept_as_answered() -> None:
    here, ann, _, room = await tea()
    before = here.head
    await here.do(ann, RenameRoom(id="same", room=room, title="Tea"))
    assert here.head == before
    assert (ann, "same") in here.store.memory.answers


async def test_an_id_that_comes_twice_in_one_turn_is_decided_once() -> None:
    here, ann, bob, room = await tea()
    first, again, other, theirs = await here.turn(
        (ann, send(room, "one", "x")),
        (ann, send(room, "two", "x")),
        (ann, CreateRoom(id="x", title="y", kind="public")),
        (bob, send(room, "three", "x")),
    )
    assert first == again == other
    assert (isinstance(first, Again), isinstance(again, Again), isinstance(other, Again)) == (False, True, True)
    assert (seq(first), seq(theirs)) == (4, 5)
    [later] = await here.turn((ann, send(room, "four", "x")))
    assert (later, isinstance(later, Again)) == (first, True)


async def test_a_rule_that_breaks_refuses_its_own_command_alone() -> None:
    def broken(room: Room, command: RenameRoom, context: Context) -> Any:
        raise ZeroDivisionError

    tables = TABLES._replace(commands={**TABLES.commands, RenameRoom: (keys.room, broken)})
    here, ann, bob, room = await tea(tables=tables)
    with structlog.testing.capture_logs() as logs:
        outcomes = await here.turn(
            (ann, send(room, "one")), (ann, RenameRoom(id="2", room=room, title="x")), (bob, send(room, "three"))
        )
    assert (seq(outcomes[0]), code(outcomes[1]), seq(outcomes[2])) == (4, "internal", 5)
    assert [(line["event"], line["kind"]) for line in logs] == [("a rule broke", "RenameRoom")]


async def test_a_sender_who_cannot_be_told_is_nobody_elses_trouble() -> None:
    here, ann, _, room = await tea()
    told: list[Outcome] = []

    def broken(_: Outcome) -> None:
        raise ConnectionError

    with structlog.testing.capture_logs() as logs:
        await here.node.turns.turn(
            [here.waiting(ann, send(room, "one"), broken), here.waiting(ann, send(room, "two"), told.append)]
        )
    assert seq(told[0]) == 5
    assert [line["event"] for line in logs] == ["a reply broke"]


class Picky(FaultyStore):
    """Rejects whatever holds a certain word."""

    async def commit(self, writes: Writes) -> None:
        if any(b"poison" in row.event for row in writes.log):
            await self.abandon()
            raise Poisoned("it is poisoned")
        await super().commit(writes)


async def test_what_the_store_rejects_is_found_and_the_rest_goes_on() -> None:
    here, ann, bob, room = await tea(store=Picky())
    said = ((ann, "one"), (bob, "poison"), (bob, "two"), (ann, "three"))
    wishes = [(account, send(room, text)) for account, text in said]
    with structlog.testing.capture_logs() as logs:
        outcomes = await here.turn(*wishes)
    assert [seq(outcomes[index]) for index in (0, 2, 3)] == [4, 5, 6]
    assert code(outcomes[1]) == "internal"
    assert [line["event"] for line in logs] == ["a command breaks its turn"]
    assert not any("poison" in str(line) for line in logs[0].items() if line[0] != "error")


async def test_what_breaks_outside_of_a_rule_is_refused_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    here, ann, bob, room = await tea()
    cut = words.cut
    monkeypatch.setattr(words, "cut", lambda text: cut(text) if text != "poison" else [][1])
    wishes = [(account, send(room, text)) for account, text in ((ann, "one"), (bob, "poison"), (ann, "two"))]
    with structlog.testing.capture_logs():
        outcomes = await here.turn(*wishes)
    assert [seq(outcomes[0]), code(outcomes[1]), seq(outcomes[2])] == [4, "internal", 5]


@pytest.mark.parametrize("where", ["begin", "commit", "committed"])
async def test_when_the_store_fails_all_are_told_that_the_outcome_is_not_known(where: str) -> None:
    here, ann, bob, room = await tea()
    wire = FakeWire()
    here.hub.enter(wire, bob, "", {room: 3}).admit(b'{"type":"hello"}')
    here.faulty.faults[where] = [Unavailable("it went away")]
    wishes = [(ann, send(room, "one", "1")), (bob, send(room, "two", "2"))]
    outcomes = await here.turn(*wishes)
    assert [code(outcome) for outcome in outcomes] == ["unavailable"] * 2
    assert all(isinstance(outcome, Refused) and outcome.retry_after for outcome in outcomes)
    assert wire.seqs(room) == []

    again = await here.turn(*wishes, (ann, send(room, "three", "3")))
    assert [seq(outcome) for outcome in again] == [4, 5, 6]
    assert isinstance(again[0], Again) == (where == "committed")
    here.hub.flush()
    assert wire.seqs(room) == [4, 5, 6]
    version = here.node.cache.get(room_key(room))
    assert version
    assert version.seq == 6


async def test_the_lock_is_given_back_when_a_turn_is_cancelled() -> None:
    here, ann, _, room = await tea()
    for gate in ("load_locked", "read_about"):
        here.forget()
        here.faulty.gates[gate] = asyncio.Event()
        wishes = (ann, send(room, "@bob")), (ann, DeleteMessage(id="2", room=room, message=4))
        turning = asyncio.create_task(here.turn(*wishes))
        await until(lambda: here.faulty.waiting)
        turning.cancel()
        await asyncio.wait([turning])
        here.faulty.gates.clear()
        here.faulty.waiting.clear()
        assert not here.store.memory.lock.locked()
    assert seq((await here.turn((ann, send(room))))[0]) == 4


async def test_states_that_are_missing_are_loaded_for_the_whole_batch_at_once() -> None:
    here, ann, bob, room = await tea()
    await here.turn((ann, send(room, "one")), (ann, send(room, "two")))
    here.forget()
    here.faulty.calls.clear()
    here.faulty.locked_loads.clear()
    outcomes = await here.turn(
        *((ann, SendMessage(id=f"r{seq}", room=room, text="@bob", reply_to=seq)) for seq in (4, 5)),
    )
    assert [seq(outcome) for outcome in outcomes] == [6, 7]
    assert here.faulty.locked_loads == [
        (keys.message_key(room, 4), keys.message_key(room, 5)),
        (keys.name_key("bob"),),
        (keys.account_key(bob),),
    ]


async def test_a_rule_that_never_has_enough_is_refused_in_the_end() -> None:
    asked: list[str] = []

    def greedy(room: Room, command: RenameRoom, context: Context) -> Any:
        for number in range(100):
            if context.states.get(room_key(f"{number}")) is None:
                asked.append(room_key(f"{number}"))
            context.look(room_key(f"{number}"), Room)

    tables = TABLES._replace(commands={**TABLES.commands, RenameRoom: (keys.room, greedy)})
    here, ann, _, room = await tea(tables=tables)
    with structlog.testing.capture_logs() as logs:
        outcomes = await here.turn((ann, RenameRoom(id="1", room=room, title="x")), (ann, send(room)))
    assert (code(outcomes[0]), seq(outcomes[1])) == ("internal", 4)
    assert len(asked) == ROUNDS
    assert [line["event"] for line in logs] == ["states are still missing"]


async def test_a_state_that_cannot_be_read_refuses_those_who_need_it_and_nobody_else() -> None:
    here, ann, bob, room = await tea()
    states = here.store.memory.fold.states
    sound = states[account_key(bob)]
    states[account_key(bob)] = sound._replace(state=b"\x00" + sound.state[1:])
    here.forget()
    wishes = [(account, send(room, text)) for account, text in ((ann, "one"), (bob, "two"), (ann, "three"))]
    with structlog.testing.capture_logs() as logs:
        outcomes = await here.turn(*wishes)
    assert [isinstance(outcome, bytes) for outcome in outcomes] == [True, False, True]
    assert code(outcomes[1]) == "internal"
    assert [line["event"] for line in logs] == ["a turn broke"] * 2 + ["a command breaks its turn"]
    states[account_key(bob)] = sound
    assert seq((await here.turn(wishes[1]))[0]) == seq(outcomes[2]) + 1


# ---- another node on the same store


async def two_nodes() -> tuple[World, World, str, str]:
    memory = Memory()
    one, two = await world(FaultyStore(memory), ids="1"), await world(FaultyStore(memory), ids="2")
    ann = await one.register("ann")
    return one, two, ann, await one.room(ann)


async def test_what_another_node_wrote_is_taken_in_under_the_lock() -> None:
    one, two, ann, room = await two_nodes()
    wire = FakeWire()
    await two.node.follower.catch_up()
    two.hub.enter(wire, ann, "", {room: 2}).admit(b'{"type":"hello"}')
    await one.do(ann, send(room, "one"))
    assert (await two.do(ann, send(room, "two")))["seq"] == 4
    assert (await one.do(ann, send(room, "three")))["seq"] == 5
    assert (await two.do(ann, send(room, "two")))["seq"] == 4  # answered before, by itself
    assert (await two.do(ann, send(room, "three")))["seq"] == 5  # and by the other
    two.hub.flush()
    assert wire.seqs(room) == [3, 4, 5]
    states = [world.node.cache.get(room_key(room)) for world in (one, two)]
    assert states[0] == states[1]


async def test_a_tail_that_is_too_long_is_read_outside_the_lock() -> None:
    one, two, ann, room = await two_nodes()
    for start in range(0, 2_500, 500):
        await one.turn(*((ann, send(room, f"{start + number}")) for number in range(500)))
    two.faulty.calls.clear()
    assert (await two.do(ann, send(room, "at last")))["seq"] == 2_503
    assert two.faulty.calls == ["begin", "begin", "commit"]
    assert two.node.cursor.position == two.head


async def test_a_node_that_is_older_than_the_log_stops_deciding() -> None:
    here, ann, _, room = await tea()
    assert here.store.memory.info
    here.store.memory.info = (here.store.memory.info[0], FORMAT + 1)
    with pytest.raises(Outdated):
        await here.turn((ann, send(room)))
    assert not here.store.memory.lock.locked()


# ---- what is told


async def test_what_is_taken_back_in_its_own_turn_is_never_told() -> None:
    here, ann, bob, room = await tea()
    wire = FakeWire()
    here.hub.enter(wire, bob, "", {room: 3}).admit(b'{"type":"hello"}')
    await here.turn(
        (ann, send(room, "regrettable")),
        (ann, EditMessage(id="2", room=room, message=4, text="regrettable too")),
        (ann, DeleteMessage(id="3", room=room, message=4)),
    )
    here.hub.flush()
    assert wire.seqs(room) == [4, 5, 6]
    assert "regrettable" not in str(wire.frames)
    assert b"regrettable" not in b"".join(row.event for row in here.store.memory.log.rows)
    assert here.store.memory.fold.words["regrettable"] == set()


async def test_the_cache_keeps_what_a_turn_works_on() -> None:
    """A question that is asked meanwhile may find the cache too full; it does not get to empty it."""
    here, ann, _, room = await tea()
    await here.do(ann, send(room, "one word"))
    here.faulty.gates["commit"] = asyncio.Event()
    turning = asyncio.create_task(here.turn((ann, EditMessage(id="2", room=room, message=4, text="another"))))
    await until(lambda: here.faulty.waiting)
    kept = len(here.node.cache)
    here.node.cache.bound = 0
    here.node.cache.trim()
    assert len(here.node.cache) == kept
    here.faulty.gates["commit"].set()
    await turning
    assert len(here.node.cache) == 0
    words = here.store.memory.fold.words
    assert (words["one"], words["word"], len(words["another"])) == (set(), set(), 1)
