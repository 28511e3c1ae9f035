"""The doorbell: what one node has told another reaches its sockets in order and once, in whatever order it arrives; and
what cannot be told, or does not come, is read.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import structlog

from chat.application import doorbell
from chat.application.codec import FORMAT, encode
from chat.application.doorbell import EARLY, WITH_EVENTS
from chat.domain.accounts import ChangePassword, CreateInvite, Register
from chat.domain.messages import SendMessage
from chat.domain.news import Connected, LogGrew
from chat.logic.keys import room_key
from tests.application.fakes import FakeWire, World, until, worlds


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long for what comes too early."""
    monkeypatch.setattr(doorbell, "SOON", 0.001)


class Tea:
    """A room on the first node of two; bob hears of it on the other one, up to its event `seen`."""

    def __init__(self, here: World, there: World, ann: str, room: str, wire: FakeWire, seen: int) -> None:
        self.here = here
        self.there = there
        self.ann = ann
        self.room = room
        self.wire = wire
        self.seen = seen
        self._sent = 0

    async def send(self, *texts: str) -> bytes:
        """These messages in one turn; what it rang."""
        wishes = []
        for text in texts:
            self._sent += 1
            wishes.append((self.ann, SendMessage(id=f"send {self._sent}", room=self.room, text=text)))
        await self.here.turn(*wishes)
        [news] = self.here.news()
        return news

    @property
    def heard(self) -> list[int]:
        """Seqs since."""
        self.there.hub.flush()
        return [seq - self.seen for seq in self.wire.seqs(self.room)]

    def is_behind(self) -> bool:
        return self.there.node.cursor.behind.is_set()


async def tea() -> Tea:
    here, there = await worlds()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    here.news()
    await there.node.follower.look()
    version = here.node.cache.get(room_key(room))
    assert version
    return Tea(here, there, ann, room, there.enter(bob, room), version.seq)


def read(news: bytes) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode(news)
    return content


# ---- what is told


async def test_a_turn_rings_once_with_its_events_as_they_are_stored() -> None:
    it = await tea()
    news = await it.send("one", "two")
    rows = it.here.store.memory.log.rows[-2:]
    told = msgspec.json.decode(news, type=LogGrew)
    assert (told.epoch, told.first, told.last) == (it.here.node.epoch, rows[0].position, rows[1].position)
    assert told.events is not None
    assert [(each.stream, each.seq, bytes(each.event)) for each in told.events] == [row[1:3] + row[4:] for row in rows]


async def test_a_turn_that_leaves_no_event_rings_nobody() -> None:
    it = await tea()
    await it.send("one")
    [outcome] = await it.here.turn((it.ann, SendMessage(id="send 1", room=it.room, text="again")))
    await it.here.turn((it.ann, SendMessage(id="no", room="nowhere", text="refused")))
    assert isinstance(outcome, bytes)
    assert it.here.news() == []


async def test_where_nobody_hears_nothing_is_rung() -> None:
    it = await tea()
    it.here.broker.is_heard = False
    await it.here.room(it.ann)
    assert it.here.news() == []
    it.here.broker.is_heard = True
    await it.send("heard")


async def test_what_is_too_much_to_be_told_is_left_to_be_read() -> None:
    it = await tea()
    rows = it.here.store.memory.log.rows
    before = len(rows)
    texts = ["x" * 8_000] * (WITH_EVENTS // 8_000)
    small, large = await it.send(*texts), await it.send(*texts, "x" * 8_000)
    sizes = [len(row.event) for row in rows[before:]]
    assert sum(sizes[: len(texts)]) <= WITH_EVENTS < sum(sizes[len(texts) :])
    assert read(small)["events"]
    assert read(large)["events"] is None
    assert len(large) < 200
    it.there.hear(small, large)
    assert it.heard == list(range(1, len(texts) + 1))
    assert it.is_behind()
    await it.there.node.follower.look()
    assert it.heard == list(range(1, 2 * len(texts) + 2))


async def test_no_hash_and_no_secret_is_ever_told() -> None:
    it = await tea()
    secrets = ("hash of dan", "hash of token", "hash of new", "hash of invite")
    dan = Register(id="1", name="dan", password=secrets[0], token=secrets[1])
    send = SendMessage(id="3", room=it.room, text="beside a secret")
    await it.here.turn(("dan", dan), (it.ann, send))
    change = ChangePassword(id="2", old="hash of ann", new=secrets[2])
    for actor, command in ((it.ann, change), (it.ann, CreateInvite(id="4", invite=secrets[3]))):
        await it.here.do(actor, command)
    stored = b"".join(row.event for row in it.here.store.memory.log.rows)
    news = it.here.news()
    assert all(secret.encode() in stored for secret in secrets)
    assert [read(each)["events"] for each in news] == [None] * 3
    assert not any(b"hash" in each for each in news)


# ---- what is heard


async def test_what_is_told_in_order_reaches_the_sockets_at_once() -> None:
    it = await tea()
    for number in range(1, 4):
        it.there.hear(await it.send("hi"))
        assert it.heard == list(range(1, number + 1))
    assert not it.is_behind()
    assert it.there.faulty.calls == []


async def test_what_is_told_twice_is_heard_once() -> None:
    it = await tea()
    news = [await it.send("hi") for _ in range(3)]
    it.there.hear(*news, news[1], *news)
    assert it.heard == [1, 2, 3]
    assert not it.is_behind()


async def test_a_node_hears_its_own_and_knows_it_already() -> None:
    it = await tea()
    position = it.here.node.cursor.position
    it.here.hear(await it.send("hi"))
    assert it.here.node.cursor.position == position + 1
    assert not it.here.node.cursor.behind.is_set()


async def test_what_comes_too_early_waits_for_what_is_before_it() -> None:
    it = await tea()
    one, two, three, four = [await it.send("hi") for _ in range(4)]
    it.there.hear(three, two)
    assert it.heard == []
    it.there.hear(one)
    assert it.heard == [1, 2, 3]
    it.there.hear(four)
    await asyncio.sleep(0.02)
    assert it.heard == [1, 2, 3, 4]
    assert not it.is_behind()  # nothing was given up


async def test_what_stays_away_is_read_with_what_waits_for_it() -> None:
    it = await tea()
    _, two, three = [await it.send("hi") for _ in range(3)]
    it.there.hear(three, two)
    await until(it.is_behind)
    await it.there.node.follower.look()
    assert it.heard == [1, 2, 3]
    assert it.there.node.doorbell._early == {}


async def test_what_waits_is_not_given_up_for_what_has_waited_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a moment of its own, however many came too early just before."""
    it = await tea()
    one, two, _, four = [await it.send("hi") for _ in range(4)]
    monkeypatch.setattr(doorbell, "SOON", 0.05)
    it.there.hear(two, one)
    monkeypatch.setattr(doorbell, "SOON", 30.0)
    it.there.hear(four)
    await asyncio.sleep(0.1)
    assert it.heard == [1, 2]
    assert not it.is_behind()


async def test_what_waits_is_told_when_the_cursor_got_there_by_another_way() -> None:
    it = await tea()
    one, two = [await it.send("hi") for _ in range(2)]
    it.there.hear(two)
    await it.there.node.follower.look()
    assert it.heard == [1, 2]
    it.there.hear(one)
    three = await it.send("hi")
    await until(lambda: not it.there.node.doorbell._early)
    it.there.hear(three)
    assert it.heard == [1, 2, 3]
    assert not it.is_behind()


async def test_so_many_wait_and_with_one_more_the_log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "SOON", 30.0)
    it = await tea()
    await it.send("lost")
    early = [await it.send("hi") for _ in range(EARLY + 1)]
    it.there.hear(*early[:EARLY], early[0])
    assert not it.is_behind()
    assert len(it.there.node.doorbell._early) == EARLY
    it.there.hear(early[EARLY])
    assert it.is_behind()
    assert it.there.node.doorbell._early == {}
    await it.there.node.follower.look()
    assert it.heard == list(range(1, EARLY + 3))


async def test_what_is_partly_known_is_heard_from_there_on() -> None:
    it = await tea()
    one, rest = await it.send("hi"), await it.send("hi", "hi", "hi")
    first, last = await it.send("hi"), await it.send("hi", "hi")
    told = msgspec.json.decode(rest, type=LogGrew)
    one_told = msgspec.json.decode(one, type=LogGrew)
    assert told.events
    assert one_told.events
    overlap = encode(LogGrew(told.epoch, FORMAT, one_told.first, told.last, one_told.events + told.events))
    it.there.hear(one, last, overlap)
    assert it.heard == [1, 2, 3, 4]
    it.there.hear(overlap, first)
    assert it.heard == [1, 2, 3, 4, 5, 6, 7]
    assert not it.is_behind()


GARBAGE: Sequence[bytes] = (
    b"",
    b"\xff\xfe",
    b"null",
    b"{}",
    b'{"type":"of_a_newer_version"}',
    b'{"type":"log_grew","first":1}',
    b'{"type":"log_grew","epoch":"ai0001","first":100,"last":100,"events":[]}',
    b'{"type":"log_grew","epoch":"EPOCH","first":FIRST,"last":FIRST,"events":[]}',
    b'{"type":"log_grew","epoch":"EPOCH","first":100000,"last":100000,"events":[]}',
    b'{"type":"log_grew","epoch":"EPOCH","first":FIRST,"last":FIRST,"events":[["room:x",1,{"type":"of_2030"}]]}',
    b'{"type":"log_grew","epoch":"EPOCH","first":FIRST,"last":FIRST,"events":[["room:x",1,{"type":"room_renamed"}]]}',
    b'{"type":"log_grew","epoch":"EPOCH","first":FIRST,"last":FIRST,"events":[["room:x",1]]}',
    b"[" * 100_000,
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_what_cannot_be_read_leads_to_a_look_and_to_nothing_else(garbage: bytes) -> None:
    it = await tea()
    position = it.there.node.cursor.position
    epoch = it.there.node.epoch.encode()
    with structlog.testing.capture_logs():
        it.there.hear(garbage.replace(b"EPOCH", epoch).replace(b"FIRST", b"%d" % (position + 1)))
    assert it.is_behind()
    assert it.there.node.cursor.position == position
    it.there.hear(await it.send("hi"))
    assert it.heard == [1]


async def test_news_of_another_log_are_not_taken_for_ours() -> None:
    """Of a chat that was restored from a backup a moment ago, or that shares a broker with this one."""
    it = await tea()
    news = msgspec.json.decode(await it.send("of another history"), type=LogGrew)
    for first in (news.first, news.first - 1, news.first + 1):
        it.there.node.cursor.behind.clear()
        it.there.hear(encode(LogGrew("another", FORMAT, first, first, news.events)))
        assert it.is_behind()
    assert it.heard == []
    assert it.there.node.doorbell._early == {}


async def test_what_waits_is_forgotten_when_another_history_begins() -> None:
    it = await tea()
    lost, early = await it.send("hi"), await it.send("hi")
    it.there.hear(early)
    await it.here.store.write_epoch("another")
    info = await it.there.store.read_info()
    it.there.node.cursor.jump(info._replace(head=msgspec.json.decode(lost, type=LogGrew).last))
    position = it.there.node.cursor.position
    await until(lambda: not it.there.node.doorbell._early)
    assert it.there.node.cursor.position == position


async def test_whoever_may_have_missed_something_looks_and_says_who_is_here() -> None:
    it = await tea()
    it.there.node.presence.announce()
    it.there.news()
    it.there.node.presence.announce()
    assert it.there.news() == []
    it.there.node.doorbell.missed()
    assert it.is_behind()
    it.there.node.presence.announce()
    [news] = it.there.news()
    assert isinstance(msgspec.json.decode(news, type=LogGrew | Connected), Connected)
