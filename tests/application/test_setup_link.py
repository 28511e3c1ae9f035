"""The secret that the first account has to bring: all nodes on one log ask for the same one, and nobody guesses it."""

import json

import pytest

from chat.domain.accounts import RegisterForm
from chat.domain.errors import Refused
from chat.infra.credentials import RandomTokens
from tests.application.fakes import World, turning, worlds


def test_a_secret_is_of_its_seed_alone() -> None:
    secret, hashed = RandomTokens().derive("epoch postgresql://chat:hidden@database/chat")
    assert RandomTokens().derive("epoch postgresql://chat:hidden@database/chat") == (secret, hashed)
    others = [RandomTokens().derive(seed)[0] for seed in ("", "epoch", "epoch postgresql://chat:other@database/chat")]
    assert len({secret, *others}) == 4
    assert len(secret) == 43
    assert RandomTokens().hash(secret) == hashed
    assert secret not in hashed
    assert secret.replace("-", "").replace("_", "").isalnum()  # it stands in a link


async def test_nodes_on_one_log_ask_for_the_same_link() -> None:
    here, there = await worlds()
    assert here.node.ask_for_setup() == there.node.ask_for_setup()
    [stranger] = await worlds(1)
    stranger.node.cursor.epoch = "another"
    assert stranger.node.ask_for_setup() != here.node.ask_for_setup()


async def test_another_database_is_another_secret() -> None:
    """An epoch by itself is told to everybody who is connected."""
    [here] = await worlds(1)
    [other] = await worlds(1, database="postgresql://elsewhere/chat")
    other.node.cursor.epoch = here.node.epoch
    assert other.node.ask_for_setup() != here.node.ask_for_setup()


@pytest.mark.parametrize("where", [0, 1])
async def test_the_link_of_one_node_works_on_either(where: int) -> None:
    nodes: list[World] = await worlds()
    secret = nodes[0].node.ask_for_setup()
    nodes[1].node.ask_for_setup()
    here = nodes[where]
    async with turning(here):
        for wrong in (None, "", "wrong", here.node.setup):
            with pytest.raises(Refused) as refused:
                await here.node.do(RegisterForm(id="1", name="eve", password="a good password", invite=wrong), "", "")
            assert refused.value.code == "forbidden"
        form = RegisterForm(id="1", name="ann", password="a good password", invite=secret)
        first = json.loads(await here.node.do(form, "", ""))
    for node in nodes:
        await node.node.follower.look()
        assert not await node.node.needs_owner()
    assert first["account"]
