"""A node that cannot go on with the log as it is now: it goes, or everybody who is connected begins anew."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from tests.client import Account, Talk, register
from tests.faults.load import until
from tests.nodes.cluster import Cluster, at, ready
from tests.running import ROOT, WITHIN, clean_environment

pytestmark = pytest.mark.requires("postgresql", "rabbitmq")

RESTARTING: Final = 1012


@pytest.fixture(scope="module")
def ann(standing: Cluster) -> Account:
    return register(standing.nodes[0].address, "ann")


@asynccontextmanager
async def talking(account: Account) -> AsyncIterator[Talk]:
    async with Talk(account) as talk:
        await talk.until(type="hello")
        yield talk


def epoch_of(talk: Talk) -> str:
    return str(talk.heard[0]["epoch"])


def chat(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "chat.py", *words, "--database", cluster.database],
        cwd=cluster.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_new_epoch_sends_everybody_away_who_then_begins_anew(cluster: Cluster, ann: Account) -> None:
    room = ann.do("create_room", title="Epochs", kind="public")["room"]
    async with talking(ann) as one, talking(at(cluster.nodes[1], ann)) as other:
        done = await asyncio.to_thread(chat, cluster, "new-epoch")
        assert done.returncode == 0, done.stderr
        assert [(await talk.end()).code for talk in (one, other)] == [RESTARTING] * 2
        old = epoch_of(one)
    for node in cluster.nodes:
        async with talking(at(node, ann)) as talk:
            assert epoch_of(talk) == done.stdout.strip() != old
            await talk.say("resume", epoch=old, rooms={room: 1})
            assert (await talk.until(type="reset"))["reason"] == "epoch"
            assert (await talk.ask("send_message", room=room, text="anew"))["type"] == "ack"


async def test_an_older_log_put_in_the_place_of_this_one_becomes_a_history_of_its_own(
    cluster: Cluster, ann: Account
) -> None:
    """As a restore does while the nodes run, which nobody should do: what was said since is gone, and all know it."""
    room = ann.do("create_room", title="Restored", kind="public")["room"]
    await asyncio.to_thread(cluster.ask, "CREATE TABLE saved AS TABLE log; CREATE TABLE old AS TABLE states")
    async with talking(ann) as one, talking(at(cluster.nodes[1], ann)) as other:
        for number in range(5):
            await one.ask("send_message", room=room, text=f"{number}")
        old = epoch_of(one)
        await asyncio.to_thread(
            cluster.ask,
            "BEGIN; TRUNCATE log, states, words, answered;"
            "INSERT INTO log TABLE saved; INSERT INTO states TABLE old; COMMIT",
        )
        assert [(await talk.end()).code for talk in (one, other)] == [RESTARTING] * 2
    for number, node in enumerate(cluster.nodes):
        async with talking(at(node, ann)) as talk:
            assert epoch_of(talk) != old
            assert (await talk.ask("send_message", room=room, text=f"after {number}"))["type"] == "ack"
            page = (await talk.ask("list_messages", room=room))["answer"]
            assert [message["text"] for message in page["messages"]] == ["after 0", "after 1"][: number + 1]


async def test_a_node_of_an_older_format_goes_when_a_newer_one_has_taken_over(cluster: Cluster, ann: Account) -> None:
    room = ann.do("create_room", title="Formats", kind="public")["room"]
    here, there = cluster.nodes
    async with talking(ann) as one, talking(at(there, ann)) as other:
        await asyncio.to_thread(cluster.ask, "UPDATE log_info SET format = format + 1")
        refused = await one.ask("send_message", room=room, text="too late")
        assert refused["code"] == "unavailable"
        assert [(await talk.end()).code for talk in (one, other)] == [RESTARTING] * 2
    for node in here, there:
        await until(lambda: node.process.poll() is not None, "the node to go", WITHIN)  # noqa: B023
        assert node.process.returncode == 1
        assert ready(node) is None
        [told] = [line["event"] for line in node.lines() if line["level"] == "error"]
        assert "newer version" in told
    done = await asyncio.to_thread(chat, cluster, "verify")
    assert done.returncode == 2
    assert "newer version" in done.stderr
    assert "@127" in done.stderr
    await asyncio.to_thread(cluster.ask, "UPDATE log_info SET format = format - 1")
