"""A connection, without a network: from the hello that it begins with to the end of its session."""

import asyncio
from typing import Any

import pytest
import structlog

from chat.application import connection
from chat.domain.accounts import EndSession
from chat.domain.errors import Refused, StoreError, Unavailable
from chat.domain.log import LogRow
from chat.domain.messages import SendMessage
from chat.domain.rooms import AddMember, RemoveMember
from chat.infra import hub
from chat.logic.websocket import UNANSWERED
from tests.application.fakes import FakeWire, World, connect, connected, turning, until, world


async def tea(**settings: Any) -> tuple[World, str, str, str]:
    made = await world(**settings)
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


def send(room: str, id: str) -> SendMessage:
    return SendMessage(id=id, room=room, text="hi")


async def test_what_is_told_while_hello_is_made_comes_after_it_once() -> None:
    here, ann, bob, room = await tea()
    await here.do(ann, send(room, "1"))
    here.faulty.gates["find"] = asyncio.Event()  # hello counts what is unread
    wire, serving = connect(here, bob)
    await until(lambda: here.faulty.waiting)
    await here.do(ann, send(room, "2"))
    other = await here.room(ann, bob)
    assert wire.frames == []
    here.faulty.gates["find"].set()
    await until(lambda: len(wire.frames) == 3)
    hello = wire.frames[0]
    assert (hello["type"], [(shown["id"], shown["seq"], shown["unread"]) for shown in hello["rooms"]]) == (
        "hello",
        [(room, 4, 1)],
    )
    assert wire.seqs(room) == [5]
    assert wire.seqs(other) == [3]
    wire.on_lost()
    await serving


async def test_hello_is_of_one_moment_though_the_store_is_ahead() -> None:
    here, ann, bob, room = await tea()
    ahead = World(type(here.faulty)(here.store.memory), ids="ahead")
    await ahead.node.start()
    await ahead.do(ann, send(room, "1"))
    here.forget()
    wire, serving = connect(here, bob)
    await until(lambda: here.node.cursor._waiting)
    other, others = connect(here, bob)  # finds what is at hand, if anything is
    await here.node.follower.catch_up()
    await until(lambda: wire.frames and other.frames)
    await ahead.do(ann, send(room, "2"))
    await here.node.follower.catch_up()
    await until(lambda: len(wire.frames) == len(other.frames) == 2)
    for frames in (wire.frames, other.frames):
        assert frames[0]["rooms"][0]["seq"] + 1 == frames[1]["seq"] == 5
    other.on_lost()
    await others
    wire.on_lost()
    await serving


async def test_without_a_store_there_is_no_hello_and_nothing_stays_behind() -> None:
    here, ann, bob, room = await tea()
    await here.do(ann, send(room, "1"))
    here.faulty.faults["find"] = [Unavailable("gone")]
    _, serving = connect(here, bob)
    with pytest.raises(Refused):
        await serving
    assert len(here.hub) == 0
    assert here.hub.accounts == {*()}


async def test_a_session_that_ends_during_the_handshake_gets_no_hello() -> None:
    here, _, bob, _ = await tea()
    await here.do(bob, EndSession(id="1", session=bob))
    _, serving = connect(here, bob)
    with pytest.raises(Refused) as refused:
        await serving
    assert refused.value.code == "unauthenticated"


async def test_the_number_of_sockets_is_exact_however_many_come_at_once() -> None:
    here, ann, _, _ = await tea(sockets=2)
    here.forget()
    connections = [connect(here, ann) for _ in range(5)]
    await until(lambda: sum(serving.done() for _, serving in connections) == 3)
    assert len(here.hub) == 2
    for wire, serving in connections:
        if serving.done():
            error = serving.exception()
            assert isinstance(error, Refused)
            assert error.code == "full"
        else:
            await wire.listening.wait()
            wire.on_lost()
            await serving
    assert len(here.hub) == 0


async def test_a_socket_is_closed_when_its_session_expires() -> None:
    here, _, bob, _ = await tea()
    async with connected(here, bob, "2026-01-31T12:00:00.020000Z") as wire:
        assert wire.is_open()
        here.clock.time = "2026-01-31T12:00:00.019000Z"
        await asyncio.sleep(0.03)
        assert wire.is_open()
        here.clock.time = "2026-01-31T12:00:00.020000Z"
        await until(lambda: wire.closed)
        assert wire.closed == (4401, "the session has expired")
        assert len(here.hub) == 0
    wire, serving = connect(here, bob, here.clock.time)
    await wire.listening.wait()
    assert (wire.closed, wire.frames) == ((4401, "the session has expired"), [])
    wire.on_lost()
    await serving


async def test_a_timer_looks_at_the_clock_again_after_a_day_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "DAY", 0.001)
    here, _, bob, _ = await tea()
    async with connected(here, bob, "9999-12-31T23:59:59.999999Z") as wire:
        await asyncio.sleep(0.01)
        assert wire.is_open()
        here.clock.time = "9999-12-31T23:59:59.999999Z"
        await until(lambda: wire.closed)


async def test_whoever_has_too_much_unanswered_is_not_read_from() -> None:
    here, ann, _, room = await tea()
    async with connected(here, ann) as wire:
        for number in range(UNANSWERED - 1):
            wire.say("send_message", id=f"{number}", room=room, text="hi")
        assert not wire.is_paused()
        for number in range(UNANSWERED - 1, UNANSWERED + 5):  # what had arrived already
            wire.say("send_message", id=f"{number}", room=room, text="hi")
        assert wire.is_paused()
        async with turning(here):
            await here.node.turns.idle()
        await until(lambda: len([frame for frame in wire.frames if frame["type"] == "ack"]) == UNANSWERED + 5)
        assert not wire.is_paused()


async def test_commands_do_not_wait_for_questions() -> None:
    here, ann, _, room = await tea()
    async with connected(here, ann) as wire, turning(here):
        here.faulty.gates["find"] = asyncio.Event()
        wire.say("list_messages", id="question", room=room)
        wire.say("create_bot", id="form", name="robot")
        wire.say("send_message", id="command", room=room, text="hi")
        await until(lambda: any(frame.get("id") == "command" for frame in wire.frames))
        assert not any(frame.get("id") in ("question", "form") for frame in wire.frames)
        here.faulty.gates["find"].set()
        await until(lambda: {"question", "form", "command"} <= {frame.get("id") for frame in wire.frames})


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unavailable("gone"), "unavailable"), (StoreError("odd"), "unavailable"), (KeyError("a bug"), "internal")],
)
async def test_an_answer_that_breaks_is_refused_and_the_next_one_given(error: Any, code: str) -> None:
    here, ann, _, room = await tea()
    async with connected(here, ann) as wire:
        here.faulty.faults["find"] = [error]
        with structlog.testing.capture_logs() as logs:
            wire.say("list_messages", id="1", room=room)
            wire.say("list_messages", id="2", room=room)
            await until(lambda: wire.frames[-1].get("id") == "2")
        refused, answer = wire.frames[1:]
        assert (refused["type"], refused["code"], answer["type"]) == ("refused", code, "answer")
        assert [line["event"] for line in logs] == (["an answer broke"] if code == "internal" else [])


async def test_a_command_that_cannot_wait_is_refused_at_once() -> None:
    here, ann, _, room = await tea()
    async with connected(here, ann) as wire:
        here.node.draining = True
        wire.say("send_message", id="1", room=room, text="hi")
        wire.say("create_invite", id="2")
        await until(lambda: len(wire.frames) == 3)
        refused = [(frame["id"], frame["code"]) for frame in wire.frames[1:]]
        assert refused == [("1", "unavailable"), ("2", "unavailable")]


# ---- resuming


async def resume(here: World, wire: FakeWire, rooms: dict[str, int]) -> dict[str, Any]:
    before = len(wire.frames)
    wire.say("resume", epoch=here.node.epoch, rooms=rooms)
    await until(lambda: any(frame["type"] in ("caught_up", "reset") for frame in wire.frames[before:]))
    return wire.frames[-1]


async def test_who_is_removed_during_a_replay_is_told_no_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAGE", 2)
    here, ann, bob, room = await tea()
    for number in range(6):
        await here.do(ann, send(room, f"{number}"))
    async with connected(here, bob) as wire:
        here.faulty.gates["read_stream"] = asyncio.Event()
        replaying = asyncio.create_task(resume(here, wire, {room: 3}))
        await until(lambda: here.faulty.waiting)
        await here.do(ann, RemoveMember(id="out", room=room, account=bob))
        here.faulty.gates["read_stream"].set()
        assert await replaying == {"type": "reset", "room": room, "seq": 0, "reason": "not_found"}
        assert wire.seqs(room) == [10]  # that it was removed


async def test_a_store_that_fails_in_a_replay_is_told_so() -> None:
    here, ann, bob, room = await tea()
    await here.do(ann, send(room, "1"))
    async with connected(here, bob) as wire:
        here.faulty.faults["read_stream"] = [Unavailable("gone")]
        wire.say("resume", epoch=here.node.epoch, rooms={room: 0})
        await until(lambda: len(wire.frames) == 2)
        assert (wire.frames[1]["type"], wire.frames[1]["code"]) == ("refused", "unavailable")
        assert (await resume(here, wire, {room: 0}))["type"] == "caught_up"
        assert wire.seqs(room) == [1, 2, 3, 4]


@pytest.mark.parametrize("missing", [[3], [6, 7], [8], [3, 4, 5, 6, 7, 8]])
async def test_who_cannot_be_told_everything_is_not_told_that_it_was(
    monkeypatch: pytest.MonkeyPatch, missing: list[int]
) -> None:
    monkeypatch.setattr(connection, "PAGE", 4)
    here, ann, bob, room = await tea()
    for number in range(5):
        await here.do(ann, send(room, f"{number}"))
    read = here.store.read_stream

    async def with_a_hole(stream: str, after: int, upto: int, limit: int) -> Any:
        rows = await read(stream, after, upto, 100)
        return [row for row in rows if row.seq not in missing][:limit]

    async with connected(here, bob) as wire:
        monkeypatch.setattr(here.store, "read_stream", with_a_hole)
        told = await resume(here, wire, {room: 2})
        assert told == {"type": "reset", "room": room, "seq": 8, "reason": "too_many"}
        assert wire.seqs(room) == list(range(3, 3 + len(wire.seqs(room))))


async def test_a_replay_is_said_in_parts_that_fit_into_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FRAME", 500)
    here, ann, bob, room = await tea()
    for number in range(9):
        await here.do(ann, send(room, f"{number}"))
    async with connected(here, bob) as wire:
        writes = wire.writes
        await resume(here, wire, {room: 0})
        assert wire.seqs(room) == list(range(1, 13))
        assert 5 <= wire.writes - writes <= 12


async def test_a_room_that_was_joined_is_heard_from_there_on() -> None:
    here, ann, bob, _ = await tea()
    late = await here.room(ann)
    async with connected(here, bob) as wire:
        await here.do(ann, AddMember(id="1", room=late, account=bob))
        assert (await resume(here, wire, {late: 0}))["seq"] == 2
        assert sorted(wire.seqs(late)) == [1, 2, 3]


async def test_a_socket_that_never_says_hello_is_let_go_when_too_much_is_kept_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "HELD", 3)
    here, ann, bob, room = await tea()
    await here.do(ann, send(room, "1"))
    here.faulty.gates["find"] = asyncio.Event()
    slow = [connect(here, bob) for _ in range(3)]
    await until(lambda: len(here.hub) == 3)
    for number in range(5):
        await here.do(ann, send(room, f"more {number}"))
    assert {wire.closed for wire, _ in slow} == {(4008, "lagging: resume")}
    assert len(here.hub) == 0
    here.faulty.gates["find"].set()
    for wire, serving in slow:
        await wire.listening.wait()
        assert wire.frames == []
        wire.on_lost()
        await serving


async def test_of_large_events_hardly_more_is_read_than_is_told() -> None:
    here, ann, bob, room = await tea()
    for number in range(400):
        await here.do(ann, SendMessage(id=f"{number}", room=room, text=7_000 * "x"))
    read, rows_read = here.store.read_stream, 0

    async def counted(stream: str, after: int, upto: int, limit: int) -> list[LogRow]:
        nonlocal rows_read
        rows = await read(stream, after, upto, limit)
        rows_read += len(rows)
        return rows

    async with connected(here, bob) as wire:
        here.store.read_stream = counted  # type: ignore[method-assign]
        assert (await resume(here, wire, {room: 0}))["type"] == "caught_up"
        assert len(wire.seqs(room)) == 403
        assert rows_read < 3 * 403
