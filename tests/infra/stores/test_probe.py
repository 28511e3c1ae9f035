"""Whether a store takes writes is asked by writing."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from chat.application.ports import Store
from chat.domain.errors import Unavailable
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.given import everything, say


async def test_a_probe_changes_nothing(store: Store) -> None:
    await say(store, "hello")
    before = await everything(store)
    await store.probe()
    assert await everything(store) == before
    await say(store, "next")


async def test_a_probe_waits_for_the_turn_under_way(store: Store) -> None:
    await store.begin(0, [], [])
    probing = asyncio.create_task(store.probe())
    await asyncio.sleep(0.02)
    assert not probing.done()
    await store.abandon()
    await asyncio.wait_for(probing, 5)
    await say(store, "hello")


async def test_a_closed_store_takes_no_probe(store: Store) -> None:
    never = type(store)(*([] if "memory" in type(store).__module__ else ["nowhere.db"]))
    with pytest.raises(Unavailable):
        await never.probe()


async def test_a_probe_really_writes_to_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chat.db")
    await store.open("epoch", 1)
    try:
        written = (tmp_path / "chat.db-wal").stat().st_size
        await store.probe()
        assert (tmp_path / "chat.db-wal").stat().st_size > written
    finally:
        await store.close()


async def test_a_probe_of_a_file_that_another_program_has_locked_is_unavailable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chat.db")
    await store.open("epoch", 1)
    other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await store.probe()
        other.execute("ROLLBACK")
        await store.probe()
    finally:
        other.close()
        await store.close()
