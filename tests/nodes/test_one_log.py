"""Three nodes that all decide at once, on one database, write one log without a gap; and what each of them knows is
what that log folds to.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from chat.application.broker_door import BrokerDoor
from chat.application.node import Node
from chat.application.queue import Outcome, Waiting
from chat.domain.accounts import LogIn, Register
from chat.domain.errors import Refused
from chat.domain.log import Recorded
from chat.infra.brokers.local import Exchange, LocalBroker
from chat.infra.stores.postgres import PostgresStore
from tests.inside import SETTINGS, TABLES, WIRING
from tests.laws.history import KINDS, folded
from tests.laws.world import look, wish
from tests.servers.postgres import shared

pytestmark = pytest.mark.requires("postgresql")

NODES: Final = 3
TURNS: Final = 60  # of each node
AT_ONCE: Final = 5  # wishes
EVERY: Final = 1_000_000
FEW_BYTES: Final = 40 * 1_024  # for the states of one of them, which loads again and again


@asynccontextmanager
async def nodes_on(url: str) -> AsyncIterator[list[Node]]:
    exchange = Exchange()
    with patch.dict(WIRING["node_of"].__globals__, {"LocalBroker": lambda: LocalBroker(exchange)}):
        nodes: list[Node] = [WIRING["node_of"](SETTINGS, PostgresStore(url)) for _ in range(NODES)]
    await asyncio.gather(*(node.start() for node in nodes))  # the tables are made by one of them
    running = [asyncio.create_task(node.run(BrokerDoor(node))) for node in nodes]
    try:
        yield nodes
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for node in nodes:
            await node.close()


async def read(node: Node) -> list[Recorded]:
    rows = await node.store.read_log(0, EVERY)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [node.codec.entry(row).record for row in rows]


async def live(node: Node, name: str, chance: Random) -> list[Outcome]:
    """Wishes that make sense in the world as it was a moment ago; the others change it meanwhile."""
    outcomes: list[Outcome] = []
    for turn in range(TURNS):
        seen = look({key: version.state for key, version in folded(await read(node)).items()})
        told: list[asyncio.Future[Outcome]] = []
        for number in range(AT_ONCE):
            actor, session, command = wish(chance, seen, KINDS)
            fresh = node.ids.fresh()
            actor = fresh if isinstance(command, Register) else actor
            actor = command.account if isinstance(command, LogIn) else actor
            told.append(asyncio.get_running_loop().create_future())
            command = replace(command, id=f"{name} {turn} {number}")
            node.submit(Waiting(command, actor, session, fresh, told[-1].set_result))
        outcomes += await asyncio.gather(*told)
    return outcomes


def codes(outcomes: Sequence[Outcome]) -> set[str]:
    return {outcome.code for outcome in outcomes if isinstance(outcome, Refused)}


async def test_three_nodes_write_one_log_and_know_what_it_folds_to(capsys: pytest.CaptureFixture[str]) -> None:
    async with nodes_on(shared().new_database()) as nodes:
        nodes[-1].cache.bound = FEW_BYTES
        lives = (live(node, f"node {index}", Random(index)) for index, node in enumerate(nodes))
        outcomes = [outcome for some in await asyncio.gather(*lives) for outcome in some]
        assert not codes(outcomes) & {"internal", "unavailable"}
        log = await read(nodes[0])
        seqs: dict[str, int] = {}
        for record in log:
            seqs[record.stream] = seqs.get(record.stream, 0) + 1
            assert record.seq == seqs[record.stream]
        versions = folded(log, TABLES)
        known = 0
        for node in nodes:
            await asyncio.wait_for(node.cursor.reach_written(len(log)), 10)
            cached = {key: version for key in versions if (version := node.cache.get(key))}
            assert cached == {key: versions[key] for key in cached}
            known += len(cached)
            loaded = await node.store.load(list(versions))
            assert {key: node.codec.version(key, stored) for key, stored in loaded.states.items()} == versions
        acknowledged = sum(isinstance(outcome, bytes) for outcome in outcomes)
        with capsys.disabled():
            print(
                f"\n{acknowledged} wishes of {len(outcomes)} on {NODES} nodes: {len(log)} events, {known} states alike"
            )
        assert acknowledged > len(outcomes) / 4
