"""The public stream: every event of public and private rooms once or more, in the log's order and none left out, from
one node at a time; whatever the broker takes, whoever leads, and wherever it is broken off.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import structlog
from msgspec.structs import replace

from chat.application import publisher
from chat.domain.accounts import RenameAccount
from chat.domain.errors import Unavailable
from chat.domain.log import LogRow
from chat.domain.messages import MarkRead, SendMessage
from chat.domain.programs import Publication
from chat.domain.rooms import OpenDirect
from chat.logic.keys import room_key
from tests.application.fakes import World, until, worlds


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "GATHER", 0.001)
    monkeypatch.setattr(publisher, "ASK", 0.005)


@asynccontextmanager
async def publishing(*nodes: World) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Each that hears of the others by looking."""
    tasks = [asyncio.create_task(node.node.publisher.run()) for node in nodes]
    following = [asyncio.create_task(node.node.follower.run()) for node in nodes]
    yield tasks
    for task in [*tasks, *following]:
        task.cancel()
    await asyncio.wait([*tasks, *following])


class Tea:
    """A room of ann's and bob's, and another that is direct."""

    def __init__(self, here: World, there: World, ann: str, room: str, direct: str) -> None:
        self.here = here
        self.there = there
        self.ann = ann
        self.room = room
        self.direct = direct
        self._sent = 0

    async def send(self, number: int = 1, node: World | None = None) -> None:
        """So many messages in a turn each, and as many to the direct room."""
        for _ in range(number):
            self._sent += 1
            await (node or self.here).turn(
                (self.ann, SendMessage(id=f"send {self._sent}", room=self.room, text="hi")),
                (self.ann, SendMessage(id=f"whisper {self._sent}", room=self.direct, text="psst")),
            )

    @property
    def public(self) -> list[LogRow]:
        """What the whole stream has to be."""
        return [row for row in self.here.store.memory.log.rows if row.stream == room_key(self.room)]

    @property
    def marked(self) -> int:
        return self.here.store.memory.published

    def has_all(self, *nodes: World) -> bool:
        published = {each.position for node in nodes or (self.here,) for each in node.broker.published}
        return published == {row.position for row in self.public}


async def tea() -> Tea:
    here, there = await worlds()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    direct = (await here.do(ann, OpenDirect(id="open", account=bob)))["room"]
    await there.node.follower.look()
    return Tea(here, there, ann, room, direct)


def positions(published: list[Publication]) -> list[int]:
    return [each.position for each in published]


def counted(here: World, call: str) -> list[tuple[int, ...]]:
    """What this call of the store is given from now on."""
    original, calls = getattr(here.store, call), list[tuple[int, ...]]()

    async def count(*given: int) -> object:
        calls.append(given)
        return await original(*given)

    setattr(here.store, call, count)
    return calls


async def test_every_event_of_rooms_that_are_not_direct_is_published_in_order() -> None:
    it = await tea()
    await it.here.do(it.ann, RenameAccount(id="1", name="anna"))
    await it.send(3)
    await it.here.do(it.ann, MarkRead(id="2", room=it.room, message=it.public[-1].seq))
    async with publishing(it.here):
        await until(it.has_all)
        await it.send(2)
        await until(it.has_all)
    assert [(each.position, each.message_id, each.body) for each in it.here.broker.published] == [
        (row.position, f"{it.room}:{row.seq}", row.event) for row in it.public
    ]
    assert {each.routing_key for each in it.here.broker.published} == {
        f"{name}.{it.room}" for name in ("room_created", "member_added", "message_sent")
    }
    assert it.marked == it.here.head


async def test_what_the_broker_does_not_take_is_published_again_and_nothing_behind_it_is_skipped() -> None:
    it = await tea()
    await it.send(10)
    it.here.broker.takes = 4
    async with publishing(it.here):
        await until(lambda: it.here.broker.publishing > 2)
        assert positions(it.here.broker.published) == [row.position for row in it.public[:4]]
        await until(lambda: it.marked >= it.public[3].position)
        assert it.marked < it.public[4].position
        it.here.broker.takes = 3
        await until(lambda: len(it.here.broker.published) >= 7)
        it.here.broker.takes = 1_000
        await until(it.has_all)
    published = positions(it.here.broker.published)
    assert published == sorted(published) == sorted(set(published))


async def test_it_begins_where_another_has_marked_it() -> None:
    it = await tea()
    await it.send(5)
    marked = it.public[3].position
    await it.there.store.lead()
    await it.there.store.mark_published(marked)
    await it.there.store.resign()
    async with publishing(it.here):
        await until(lambda: len(it.here.broker.published) == len(it.public[4:]))
    assert positions(it.here.broker.published) == [row.position for row in it.public[4:]]


async def test_long_logs_are_published_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "SLICE", 3)
    it = await tea()
    await it.send(10)
    reads = counted(it.here, "read_log")
    async with publishing(it.here):
        await until(it.has_all)
    assert {limit for _, limit in reads if limit < 1_000} == {3}
    assert positions(it.here.broker.published) == [row.position for row in it.public]


async def test_the_position_is_marked_about_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "SLICE", 1)
    it = await tea()
    marks = counted(it.here, "mark_published")
    async with publishing(it.here):
        await it.send(5)
        await until(it.has_all)
        assert marks == []  # the clock stands still
        for _ in range(3):
            it.here.clock.monotonic += 1
            before = len(marks)
            await it.send(5)
            await until(lambda before=before: it.has_all() and len(marks) > before)  # type: ignore[misc]
        it.here.clock.monotonic += 1
        await until(lambda: it.marked == it.here.head)  # what is of nobody's business too
        seconds = len(marks)
        await it.send(1)
        await until(it.has_all)
    assert seconds <= 5
    assert marks[seconds:] in ([(it.public[-1].position,)], [(it.here.head,)])
    assert all(one < other for one, other in pairwise(marks))


async def test_a_quiet_leader_marks_nothing() -> None:
    it = await tea()
    async with publishing(it.here):
        await until(it.has_all)
        it.here.clock.monotonic += 1
        await until(lambda: it.marked == it.here.head)
        marks, asked = counted(it.here, "mark_published"), counted(it.here, "lead")
        for _ in range(3):
            it.here.clock.monotonic += 1
            before = len(asked)
            await until(lambda before=before: len(asked) > before)  # type: ignore[misc]
        assert marks == []


async def test_one_leads_and_another_takes_over_when_it_stops() -> None:
    it = await tea()
    async with publishing(it.here, it.there) as (first, _):
        await it.send(3)
        await until(it.has_all)
        first.cancel()
        await asyncio.wait([first])
        marked = it.marked
        assert marked >= it.public[-1].position
        await it.send(3)
        await until(lambda: it.has_all(it.here, it.there))
    assert positions(it.there.broker.published) == [row.position for row in it.public if row.position > marked]
    assert it.here.store.memory.leader is None


async def test_one_that_dies_is_followed_from_what_it_has_marked() -> None:
    """Nobody resigns, and what was published since the last mark is published again."""
    it = await tea()
    async with publishing(it.here):
        await until(it.has_all)
        it.here.clock.monotonic += 1
        await until(lambda: it.marked == it.here.head)
        marked, known = it.marked, len(it.public)
        await it.send(4)
        await until(it.has_all)
        it.here.store.memory.leader = it.there.store
        async with publishing(it.there):
            await until(lambda: len(it.there.broker.published) == len(it.public) - known)
            assert it.marked == marked
    assert positions(it.there.broker.published) == [row.position for row in it.public[known:]]


async def test_one_that_leads_no_more_stops_though_it_is_in_the_midst(monkeypatch: pytest.MonkeyPatch) -> None:
    it = await tea()
    async with publishing(it.here):
        await until(it.has_all)
        it.here.store.memory.leader = it.there.store
        it.here.clock.monotonic += 1
        asked = counted(it.here, "lead")
        await until(lambda: len(asked) > 2)
        await it.send(3)
        await asyncio.sleep(0.03)
    assert not it.has_all()
    assert it.here.store.memory.leader is it.there.store


async def test_one_that_has_lost_the_broker_lets_another_lead() -> None:
    it = await tea()
    async with publishing(it.here, it.there):
        await until(it.has_all)
        it.here.broker.takes, it.here.broker.is_away = 0, True
        await it.send(3)
        await until(lambda: it.has_all(it.here, it.there))
        assert it.here.store.memory.leader is it.there.store
    known = positions(it.here.broker.published)
    assert positions(it.there.broker.published) == [row.position for row in it.public if row.position > known[-1]]


async def test_while_the_broker_is_away_nobody_leads() -> None:
    it = await tea()
    it.here.broker.is_away = True
    async with publishing(it.here):
        await asyncio.sleep(0.03)
        assert it.here.store.memory.leader is None
        it.here.broker.is_away = False
        await until(it.has_all)


@pytest.mark.parametrize("call", ["read_log", "lead", "mark_published", "load"])
async def test_a_store_that_fails_is_asked_again_and_nothing_is_skipped(call: str) -> None:
    it = await tea()
    original, errors = getattr(it.here.store, call), [Unavailable("gone")] * 3

    async def fail(*given: object) -> object:
        if errors:
            raise errors.pop()
        return await original(*given)

    setattr(it.here.store, call, fail)
    it.here.forget()
    async with publishing(it.here):
        for _ in range(4):
            await it.send()
            it.here.forget()
            it.here.clock.monotonic += 1
            await until(it.has_all)
        await until(lambda: not errors)
    published = positions(it.here.broker.published)
    assert list(dict.fromkeys(published)) == [row.position for row in it.public]


async def test_wherever_it_is_cancelled_nothing_is_skipped() -> None:
    """At each await in turn; whoever leads next publishes what was not marked."""
    it = await tea()
    for steps in range(60):
        await it.send()
        publisher_of = it.here if steps % 2 else it.there
        await publisher_of.node.follower.look()
        task = asyncio.create_task(publisher_of.node.publisher.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert it.here.store.memory.leader is None
        assert publisher_of.node.cursor._waiting == []
        safe = set(positions(it.here.broker.published) + positions(it.there.broker.published))
        assert {row.position for row in it.public if row.position <= it.marked} <= safe
    async with publishing(it.here):
        await until(lambda: it.has_all(it.here, it.there))
    for node in (it.here, it.there):
        new = list(dict.fromkeys(positions(node.broker.published)))
        assert new == sorted(new)


async def test_cancelled_while_the_broker_takes_its_time_nothing_of_it_is_marked() -> None:
    it = await tea()
    it.here.broker.gate = asyncio.Event()
    async with publishing(it.here):
        await until(lambda: it.here.broker.publishing)
    assert it.marked == 0
    async with publishing(it.there):
        await until(lambda: it.has_all(it.there))


async def test_waiting_for_events_leaves_nothing_behind() -> None:
    it = await tea()
    async with publishing(it.here):
        await until(it.has_all)
        reads = counted(it.here, "read_log")
        await until(lambda: len(reads) > 20)
        assert len(it.here.node.cursor._waiting) <= 1
    assert it.here.node.cursor._waiting == []


async def test_a_node_publishes_nothing_of_a_room_that_it_has_not_heard_of_yet() -> None:
    """It may think that it knows the room: that there is none."""
    it = await tea()
    async with publishing(it.here):
        await until(it.has_all)
        fresh = "soon-to-be"
        await it.here.node.reading.consult(lambda context: context.states.at(room_key(fresh)))
        with_id = it.there.waiting(it.ann, OpenDirect(id="2", account=it.ann), lambda _: None)
        cat = await it.there.register("cat")
        with_id = replace(with_id, command=OpenDirect(id="2", account=cat), fresh=fresh)
        await it.there.node.turns.turn([with_id])
        await until(lambda: it.here.node.publisher._position == it.here.head)
    assert [each for each in it.here.broker.published if fresh in each.routing_key] == []
    assert it.here.store.memory.log.streams[room_key(fresh)]


async def test_an_event_of_a_newer_version_stops_no_node_by_itself() -> None:
    """Whether it is one, the follower finds out."""
    it = await tea()
    async with publishing(it.here) as (task,):
        await until(it.has_all)
        row = LogRow(it.here.head + 1, "account:x", 1, None, b'{"type":"of_2030"}')
        it.here.store.memory.log.append(row)
        looks = counted(it.here, "read_info")
        with structlog.testing.capture_logs():
            await until(lambda: looks)
        assert not task.done()


async def test_a_store_that_reads_slowly_is_asked_for_less_until_it_is_published() -> None:
    """What took long to read is read again, as some of it may have been taken back; but not for ever."""
    it = await tea()
    await it.send(20)
    clock, read = it.here.clock, it.here.store.read_log
    asked: list[int] = []

    async def read_slowly(after: int, limit: int) -> list[LogRow]:
        asked.append(limit)
        clock.monotonic += 0.1 * limit
        return await read(after, limit)

    it.here.store.read_log = read_slowly  # type: ignore[method-assign]
    async with publishing(it.here):
        await until(it.has_all)
    assert asked[0] == publisher.SLICE
    assert 3 in asked  # less than half a second of them
    published = positions(it.here.broker.published)
    assert published == sorted(set(published))


async def test_one_event_is_published_however_long_it_takes_to_read() -> None:
    it = await tea()
    await it.send(2)
    clock, read = it.here.clock, it.here.store.read_log

    async def read_slowly(after: int, limit: int) -> list[LogRow]:
        clock.monotonic += 1.5
        return await read(after, limit)

    it.here.store.read_log = read_slowly  # type: ignore[method-assign]
    async with publishing(it.here):
        await until(it.has_all)
