"""What happens on one node and matters on another: ended sessions, removed members, who types and who is there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import pytest

from tests.client import PASSWORD, Account, Talk, register
from tests.nodes.cluster import Cluster, at, wait_until_ready

pytestmark = pytest.mark.requires("postgresql", "rabbitmq")

_names = count(1)
SOON: Final = 1.0  # seconds, with the broker
POLLED: Final = 1.0  # seconds between two looks at the log, without


def newcomer(cluster: Cluster) -> Account:
    return register(cluster.nodes[0].address, f"across{next(_names)}")


@pytest.fixture(scope="module")
def owner(standing: Cluster) -> Account:
    """The first account; it rules the server."""
    return register(standing.nodes[0].address, "owner")


@pytest.fixture
def ann(cluster: Cluster, owner: Account) -> Account:
    return newcomer(cluster)


@pytest.fixture
def bob(cluster: Cluster, owner: Account) -> Account:
    return newcomer(cluster)


@asynccontextmanager
async def talking(account: Account) -> AsyncIterator[Talk]:
    async with Talk(account) as talk:
        await talk.until(type="hello")
        yield talk


async def log_out(here: Account, _: Account) -> None:
    await asyncio.to_thread(here.do, "log_out")


async def end_the_session(here: Account, _: Account) -> None:
    told = await asyncio.to_thread(Account(here.address).do, "log_in", name=here.name, password=PASSWORD)
    other = Account(here.address, told["token"])
    sessions = (await asyncio.to_thread(other.ask, "list_sessions"))["sessions"]
    [first] = [session["session"] for session in sessions if not session.get("current")]
    await asyncio.to_thread(other.do, "end_session", session=first)


async def be_deactivated(here: Account, owner: Account) -> None:
    await asyncio.to_thread(owner.do, "deactivate_account", account=here.id)


@pytest.mark.parametrize("end", [log_out, end_the_session, be_deactivated])
async def test_a_session_that_ends_on_one_node_ends_on_all(
    cluster: Cluster, owner: Account, ann: Account, end: Callable[[Account, Account], Awaitable[None]]
) -> None:
    async with talking(at(cluster.nodes[1], ann)) as talk:
        await end(ann, owner)
        start = time.monotonic()
        assert (await talk.end()).code == 4401
        assert time.monotonic() - start < 10 * SOON


async def test_who_is_removed_on_one_node_hears_nothing_more_on_another(
    cluster: Cluster, ann: Account, bob: Account
) -> None:
    room = ann.do("create_room", title="Ours", kind="private", members=[bob.id])["room"]
    async with talking(at(cluster.nodes[1], bob)) as talk:
        ann.do("remove_member", room=room, account=bob.id)
        ann.do("send_message", room=room, text="without bob")
        await talk.until(type="member_removed")
        assert (await talk.ask("list_messages", room=room))["code"] == "not_found"
        assert not [frame for frame in talk.heard if frame["type"] == "message_sent"]


async def test_typing_crosses_nodes_once_and_only_to_members(cluster: Cluster, ann: Account, bob: Account) -> None:
    cat = await asyncio.to_thread(newcomer, cluster)
    room = ann.do("create_room", title="Typing", kind="public", members=[bob.id])["room"]
    here, there = cluster.nodes
    async with talking(at(here, ann)) as one, talking(at(there, bob)) as two, talking(at(there, cat)) as stranger:
        await one.say("typing", room=room)
        assert await two.until(type="typing") == {"type": "typing", "room": room, "account": ann.id}
        await one.ask("send_message", room=room, text="done")
        await two.until(type="message_sent")
        await stranger.ask("me")
        assert sum(frame["type"] == "typing" for frame in two.heard) == 1
        assert not [frame for frame in stranger.heard if frame["type"] == "typing"]


async def test_who_is_there_is_known_on_every_node(cluster: Cluster, ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="There", kind="public", members=[bob.id])["room"]
    async with talking(at(cluster.nodes[0], ann)) as talk, talking(at(cluster.nodes[1], bob)):
        while bob.id not in (await talk.until(type="presence"))["online"]:
            pass
        for node in cluster.nodes:
            answer = await asyncio.to_thread(at(node, ann).ask, "who_is_online", room=room)
            assert set(answer["online"]) >= {bob.id}


def elsewhere(cluster: Cluster, name: str, times: int) -> None:
    """Whoever logs in by one node, makes a room or is added to one, and goes on by the other at once."""
    here, there = cluster.nodes
    friend = newcomer(cluster)
    shared = friend.do("create_room", title="Shared", kind="private")["room"]
    for number in range(times):
        token = Account(here.address).do("log_in", name=name, password=PASSWORD)["token"]
        one, other = Account(here.address, token), Account(there.address, token)
        assert other.ask("me")["account"]["id"] == one.id
        room = one.do("create_room", title=f"{number}", kind="private")["room"]
        assert other.ask("list_messages", room=room)["messages"] == []
        friend.do("add_member", room=shared, account=one.id)
        assert other.ask("list_messages", room=shared)["messages"] == []
        friend.do("remove_member", room=shared, account=one.id)
        one.do("log_out")


async def test_what_was_done_by_one_node_is_known_by_another_at_once(cluster: Cluster, ann: Account) -> None:
    await asyncio.to_thread(elsewhere, cluster, ann.name, 20)
    token = (await asyncio.to_thread(ann.do, "log_in", name=ann.name, password=PASSWORD))["token"]
    async with talking(Account(cluster.nodes[1].address, token)):
        pass  # said hello to


@pytest.fixture
def without_broker(cluster: Cluster) -> Iterator[Cluster]:
    cluster.rabbit.stop()
    for node in cluster.nodes:
        wait_until_ready(node, "away")
    yield cluster
    cluster.rabbit.start()
    cluster.restore()


async def test_without_the_broker_it_is_found_out_by_looking(
    without_broker: Cluster, ann: Account, bob: Account
) -> None:
    here, there = without_broker.nodes
    room = ann.do("create_room", title="Polled", kind="public", members=[bob.id])["room"]
    async with talking(at(there, bob)) as two, talking(at(there, ann)) as other:
        told: list[float] = []
        for number in range(3):
            start = time.monotonic()
            await asyncio.to_thread(at(here, ann).do, "send_message", room=room, text=f"{number}")
            await two.until(type="message_sent", text=f"{number}")
            told.append(time.monotonic() - start)
        ann.do("log_out")
        assert (await other.end()).code == 4401
        await asyncio.to_thread(elsewhere, without_broker, bob.name, 5)
    assert max(told) < 10 * POLLED
