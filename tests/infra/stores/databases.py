"""Stores in databases, and what may be done to a server."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from chat.application.ports import Store
from chat.domain.errors import Unavailable, Unusable
from chat.domain.log import Writes
from chat.infra.stores.postgres import PostgresStore
from tests.infra.stores.given import event, write

TOLD_WITHIN = 3.0  # seconds, when the store is away
BACK_WITHIN = 5.0  # of the server's return


@asynccontextmanager
async def opened(url: str, form: int = 1, *, read_only: bool = False) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, read_only=read_only)
    await store.open("epoch", form)
    try:
        yield store
    finally:
        await store.close()


async def refusal(url: str, form: int = 1, *, read_only: bool = False, create: bool = True) -> str:
    """Why it cannot be opened. It is asked twice: nothing is left over from the first time."""
    for _ in range(2):
        with pytest.raises(Unusable) as refused:
            await PostgresStore(url, read_only=read_only, create=create).open("epoch", form)
    return str(refused.value)


async def turn(store: Store) -> int:
    """One that logs one event. Its position."""
    begun = await store.begin(0, [], [])
    position = begun.info.head + 1
    await store.commit(Writes(log=(event(position),)))
    return position


async def unavailable(work: Awaitable[object]) -> None:
    """It says so in time."""
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await work
    assert time.monotonic() - start < TOLD_WITHIN


async def back(store: Store) -> float:
    """Seconds until turns and reading work again."""
    start = time.monotonic()
    while True:
        try:
            await write(store)
            await store.load([])
            await store.read_log(0, 1)
        except Unavailable:
            assert time.monotonic() - start < BACK_WITHIN
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - start
