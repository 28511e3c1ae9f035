"""Who is there and who types, on nodes that tell each other: nobody is doubled, nobody stays who has gone, and a node
that says nothing is forgotten.
"""

from typing import Any

import msgspec

from chat.application.codec import encode
from chat.application.presence import ANNOUNCE
from chat.domain.errors import Unavailable
from chat.domain.frames import Typing
from chat.domain.news import Connected, SomebodyTypes
from chat.domain.rooms import WhoIsOnline
from chat.logic import presence
from chat.logic.keys import account_key
from tests.application.fakes import FakeWire, World, connected, until, worlds


class Nodes:
    """Two or three on one log, which ann and bob share a room on. What they ring, all hear."""

    def __init__(self, nodes: list[World], ann: str, bob: str, room: str) -> None:
        self.nodes = nodes
        self.ann = ann
        self.bob = bob
        self.room = room
        self.dead: list[World] = []

    async def tick(self, seconds: float = 1.0) -> list[bytes]:
        """What every node does after so many seconds; all that was rung."""
        for node in self.nodes:
            node.clock.monotonic += seconds
        living = [node for node in self.nodes if node not in self.dead]
        for node in living:
            node.node.presence.announce()
        news = self.ring()
        for node in living:
            await node.node.presence.tell()
            node.hub.flush()
        return news

    def ring(self) -> list[bytes]:
        news = [each for node in self.nodes for each in node.news()]
        for node in self.nodes:
            if node not in self.dead:
                node.hear(*news)
        return news

    def part(self, number: int, account: str) -> None:
        for socket in self.nodes[number].hub.of_account(account):
            self.nodes[number].hub.leave(socket)

    async def online(self, number: int) -> list[str]:
        answer: dict[str, list[str]] = await self.nodes[number].node.ask(WhoIsOnline(room=self.room), self.ann)
        return sorted(answer["online"])


async def nodes(number: int = 2) -> Nodes:
    made = await worlds(number)
    ann, bob = await made[0].register("ann"), await made[0].register("bob")
    room = await made[0].room(ann, bob)
    for each in made:
        await each.node.follower.look()
        await each.node.ask(WhoIsOnline(room=room), bob)  # as those who are connected do at hello
        each.news()
    return Nodes(made, ann, bob, room)


def told(wire: FakeWire, kind: str) -> list[dict[str, Any]]:
    return [frame for frame in wire.frames if frame["type"] == kind]


def kinds(news: list[bytes]) -> list[str]:
    return [msgspec.json.decode(each)["type"] for each in news]


async def test_nodes_see_each_others_accounts_and_tell_of_them_once() -> None:
    it = await nodes()
    wires = [it.nodes[0].enter(it.ann, it.room), it.nodes[1].enter(it.bob, it.room)]
    for _ in range(3):
        await it.tick()
    both = sorted([it.ann, it.bob])
    assert [await it.online(number) for number in (0, 1)] == [both, both]
    for wire in wires:
        online = [account for frame in told(wire, "presence") for account in frame["online"]]
        assert sorted(online) == both
        assert not any(frame["offline"] for frame in told(wire, "presence"))


async def test_comings_and_goings_are_told_by_themselves_and_all_now_and_then() -> None:
    it = await nodes()
    assert kinds(await it.tick()) == ["connected", "connected"]
    assert kinds(await it.tick(0)) == ["connected", "connected"]  # both have met somebody new
    assert kinds(await it.tick()) == []
    it.nodes[0].enter(it.ann, it.room)
    [news] = await it.tick()
    assert msgspec.json.decode(news) | {"node": ""} == {
        "type": "connected_changed",
        "node": "",
        "came": [it.ann],
        "went": [],
    }
    it.part(0, it.ann)
    [news] = await it.tick()
    assert msgspec.json.decode(news)["went"] == [it.ann]
    for _ in range(int(ANNOUNCE) - 4):
        assert await it.tick() == []
    assert kinds(await it.tick()) == ["connected", "connected"]


async def test_who_is_on_both_nodes_leaves_with_the_last_socket() -> None:
    it = await nodes()
    it.nodes[0].enter(it.bob, it.room)
    it.nodes[1].enter(it.bob, it.room)
    wire = it.nodes[1].enter(it.ann, it.room)
    await it.tick()
    it.part(0, it.bob)
    for _ in range(4):
        await it.tick(presence.GRACE / 2)
    assert it.bob in await it.online(1)
    it.part(1, it.bob)
    await it.tick()
    await it.tick(presence.GRACE + 1)
    assert await it.online(1) == [it.ann]
    assert [frame["offline"] for frame in told(wire, "presence") if frame["offline"]] == [[it.bob]]


async def test_who_was_on_a_node_that_vanished_goes_offline() -> None:
    it = await nodes()
    wire = it.nodes[0].enter(it.ann, it.room)
    it.nodes[1].enter(it.bob, it.room)
    await it.tick()
    it.dead = [it.nodes[1]]
    for _ in range(int(presence.EXPIRES)):
        await it.tick()
    assert it.bob in await it.online(0)
    await it.tick(presence.GRACE + 1)
    assert await it.online(0) == [it.ann]
    assert [frame["offline"] for frame in told(wire, "presence") if frame["offline"]] == [[it.bob]]


async def test_a_node_that_drains_says_goodbye_at_once_and_nothing_more() -> None:
    it = await nodes()
    it.nodes[0].enter(it.ann, it.room)
    it.nodes[1].enter(it.bob, it.room)
    await it.tick()
    await it.nodes[1].node.drain(1)
    [goodbye] = it.ring()
    assert msgspec.json.decode(goodbye, type=Connected).accounts == ()
    it.nodes[1].enter(it.bob, it.room)  # who has not heard of it yet
    for _ in range(2 * int(ANNOUNCE)):
        news = await it.tick()
        assert not any(it.nodes[1].node.presence._name.encode() in each for each in news)
    await it.tick(presence.GRACE + 1 - 2 * ANNOUNCE)
    assert await it.online(0) == [it.ann]


async def test_a_newcomer_learns_within_a_tick_and_is_known_within_one() -> None:
    it = await nodes(3)
    newcomer = it.nodes.pop()
    it.nodes[0].enter(it.ann, it.room)
    for _ in range(3):
        await it.tick()
    newcomer.clock.monotonic = it.nodes[0].clock.monotonic
    newcomer.enter(it.bob, it.room)
    it.nodes.append(newcomer)
    await it.tick()
    assert await it.online(0) == sorted([it.ann, it.bob])
    await it.tick()
    assert await it.online(2) == sorted([it.ann, it.bob])


async def test_what_is_lost_is_mended_when_all_is_said_again() -> None:
    it = await nodes()
    for _ in range(2):
        await it.tick()
    it.nodes[1].enter(it.bob, it.room)
    it.nodes[1].node.presence.announce()
    assert kinds(it.nodes[1].news()) == ["connected_changed"]  # and nobody heard it
    await it.tick()
    assert await it.online(0) == []
    await it.tick(ANNOUNCE)
    assert await it.online(0) == [it.bob]


async def test_while_the_store_is_away_nodes_go_on_to_tell_of_whom_they_know() -> None:
    it = await nodes()
    it.nodes[0].enter(it.bob, it.room)
    wire = it.nodes[1].enter(it.bob, it.room)
    it.nodes[1].node.cache.drop(account_key(it.ann))
    it.nodes[0].enter(it.ann, it.room)
    it.nodes[1].faulty.faults["load"] = [Unavailable("gone")]
    await it.tick()
    assert [frame["online"] for frame in told(wire, "presence")] == [[it.bob]]
    assert await it.online(1) == sorted([it.ann, it.bob])


async def test_ones_own_news_are_not_heard() -> None:
    it = await nodes()
    it.nodes[0].enter(it.bob, it.room)
    await it.tick()
    it.part(0, it.bob)
    it.nodes[0].news()  # that bob went is never heard
    await it.tick(presence.GRACE + 1)
    assert await it.online(0) == []
    assert list(it.nodes[0].node.presence._elsewhere) == [it.nodes[1].node.presence._name]


# ---- typing


async def test_typing_crosses_nodes_and_is_heard_once() -> None:
    it = await nodes()
    here, there = it.nodes
    reader = here.enter(it.bob, it.room)
    other = there.enter(it.bob, it.room)
    async with connected(here, it.ann) as writer:
        writer.on_frame(encode(Typing(it.room)))
        news = it.ring()
        await until(lambda: told(reader, "typing") and told(other, "typing"))
        it.nodes[1].hub.flush()
    assert kinds(news) == ["somebody_types"]
    expected = [{"type": "typing", "room": it.room, "account": it.ann}]
    assert told(reader, "typing") == told(other, "typing") == expected
    assert told(writer, "typing") == []


async def test_typing_is_told_to_other_nodes_no_more_often_than_to_this_one() -> None:
    it = await nodes()
    for seconds in (0, 1, 1.9, 0.2):
        it.nodes[0].clock.monotonic += seconds
        it.nodes[0].node.presence.tell_typing(it.ann, it.room)
    assert len(it.ring()) == 2


async def test_typing_reaches_nobody_who_is_not_in_the_room_and_not_the_writer() -> None:
    it = await nodes()
    outsider, writer = it.nodes[1].enter(it.bob), it.nodes[1].enter(it.ann, it.room)
    it.nodes[1].hear(encode(SomebodyTypes("elsewhere", it.room, it.ann)))
    it.nodes[1].hear(encode(SomebodyTypes("elsewhere", "no room", it.ann)))
    it.nodes[1].hub.flush()
    assert told(outsider, "typing") == told(writer, "typing") == []


async def test_who_is_not_in_a_room_cannot_be_heard_typing_there() -> None:
    it = await nodes()
    cat = await it.nodes[0].register("cat")
    it.nodes[0].news()
    async with connected(it.nodes[0], cat) as wire:
        wire.on_frame(encode(Typing(it.room)))
    assert it.ring() == []
