"""Who leads, and what was published, is told alike by every store."""

import asyncio

import pytest

from chat.application.ports import Store
from chat.domain.errors import Unavailable
from chat.infra.stores.memory import Memory, MemoryStore


async def test_who_leads_is_told_what_was_published_and_it_never_goes_back(store: Store) -> None:
    assert await store.lead() == 0
    await store.mark_published(7)
    assert await store.lead() == 7
    await store.mark_published(5)
    assert await store.lead() == 7


async def test_what_was_published_is_known_to_the_next_who_leads(store: Store) -> None:
    await store.lead()
    await store.mark_published(3)
    await store.resign()
    await store.close()
    await store.open("epoch", 1)
    assert await store.lead() == 3


async def test_to_resign_is_never_wrong(store: Store) -> None:
    await store.resign()
    assert await store.lead() == 0
    await store.resign()
    await store.resign()
    assert await store.lead() == 0


async def test_what_is_published_is_marked_beside_a_turn_or_after_it(store: Store) -> None:
    await store.lead()
    await store.begin(0, [], [])
    marking = asyncio.create_task(store.mark_published(1))
    await asyncio.sleep(0.02)
    await store.abandon()
    await asyncio.wait_for(marking, 5)
    assert await store.lead() == 1


async def test_of_the_nodes_on_one_memory_one_leads() -> None:
    memory = Memory()
    one, other = MemoryStore(memory), MemoryStore(memory)
    for store in (one, other):
        await store.open("epoch", 1)
    assert await one.lead() == 0
    assert await other.lead() is None
    with pytest.raises(Unavailable, match="does not lead"):
        await other.mark_published(1)
    await one.mark_published(1)
    await other.resign()
    assert await other.lead() is None
    await one.close()
    assert await other.lead() == 1
