"""Who waits for a session of the store on a server, and what becomes of the others."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from asyncpg import Connection

from chat.domain.errors import Unavailable
from chat.domain.log import Listed, Range
from chat.infra.stores.postgres import PostgresStore
from chat.infra.stores.postgres_session import WAITING, Session
from tests.infra.stores.databases import opened, turn, unavailable
from tests.infra.stores.given import key, say

pytestmark = pytest.mark.requires("postgresql")

READERS = ("_reader", "_follower", "_finder", "_searcher", "_keeper")


async def sleep(connection: Connection, seconds: float) -> None:
    await connection.execute(f"SELECT pg_sleep({seconds})")


async def busy(session: Session, seconds: float) -> asyncio.Task[None]:
    task = asyncio.create_task(session.run(5, sleep, seconds))
    await asyncio.sleep(0)
    assert session._under_way
    return task


# In line.


async def test_more_than_may_wait_is_unavailable(url: str) -> None:
    async with opened(url) as store:
        slow = await busy(store._follower, 0.5)
        reads = [asyncio.create_task(store.read_log(0, 1)) for _ in range(WAITING + 5)]
        for _ in range(5):
            await asyncio.sleep(0)
        refused = [each.exception() for each in reads if each.done()]
        assert [type(each) for each in refused] == [Unavailable] * 5
        for each in reads:
            each.cancel()
        await asyncio.gather(slow, *reads, return_exceptions=True)


async def test_who_has_waited_for_half_of_the_time_is_told_and_the_connection_stays(url: str) -> None:
    """With little time left it would fail in the middle, and everybody behind it."""
    async with opened(url) as store:
        await store._finder.run(2, sleep, 0)
        connection = store._finder._connection
        slow = await busy(store._finder, 0.6)
        with pytest.raises(Unavailable, match="too much is waiting"):
            await store._finder.run(0.8, sleep, 0)
        assert not slow.done()
        await store._finder.run(2, sleep, 0)
        assert store._finder._connection is connection
        await slow


async def test_who_is_cancelled_in_line_leaves_it_and_what_is_under_way_goes_on_to_its_end(url: str) -> None:
    done: list[str] = []

    async def work(connection: Connection, name: str, seconds: float) -> None:
        await sleep(connection, seconds)
        done.append(name)

    async with opened(url) as store:
        first = asyncio.create_task(store._finder.run(5, work, "first", 0.3))
        behind = [asyncio.create_task(store._finder.run(5, work, name, 0)) for name in ("second", "third", "fourth")]
        await asyncio.sleep(0.1)
        for task in (first, *behind[:2]):
            task.cancel()
        await asyncio.wait([first, *behind[:2]])
        assert done == []
        await behind[2]
        assert done == ["first", "fourth"]


# Beside others.


async def test_the_log_is_looked_at_while_pages_are_read(url: str) -> None:
    async with opened(url) as store:
        slow = await busy(store._finder, 0.5)
        assert await store.read_log(0, 1) == []
        assert (await store.read_info()).head == 0
        assert not slow.done()
        await slow


async def test_the_session_for_the_log_is_there_from_the_beginning(url: str) -> None:
    for read_only in (False, True):
        async with opened(url, read_only=read_only) as store:
            assert store._follower._connection


@pytest.mark.parametrize("name", [*READERS, "_publisher"])
async def test_work_that_takes_too_long_is_no_trouble_of_the_other_sessions(url: str, name: str) -> None:
    async with opened(url) as store:
        session: Session = getattr(store, name)
        await unavailable(session.run(0.1, sleep, 1))
        assert await turn(store) == 1
        for other in READERS:
            if other != name:
                await getattr(store, other).run(1, sleep, 0)


# Round trips.


def asked(connection: Any) -> Sequence[str]:
    """What is said by it from now on."""
    said: list[str] = []

    def watched(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asking(text: str, *values: Any) -> Any:
            said.append(text)
            return ask(text, *values)

        return asking

    connection.fetch, connection.execute = watched(connection.fetch), watched(connection.execute)
    return said


async def found(store: PostgresStore, rows: Sequence[Range]) -> list[list[int]]:
    states: list[Any] = await store.find(rows)
    return [[int(state.split(b":")[1]) for state in each] for each in states]


async def test_any_number_of_ranges_is_one_round_trip(url: str) -> None:
    ranges = [Range(first=key(seq), last=key(9), limit=2, newest=bool(seq % 2)) for seq in range(1, 9)]
    async with opened(url) as store:
        await say(store, *["hello"] * 9)
        await found(store, ranges)
        said = asked(store._finder._connection)
        assert await found(store, ranges) == [[9, 8], [2, 3], [9, 8], [4, 5], [9, 8], [6, 7], [9, 8], [8, 9]]
        assert len(said) == 1


async def test_ranges_and_lists_are_of_one_moment(url: str) -> None:
    async with opened(url) as store:
        await store.find([Listed(list="rooms")])
        said = asked(store._finder._connection)
        await store.find(
            [Range(first="a", last="b", limit=1), Listed(list="rooms"), Range(first="a", last="b", limit=1)]
        )
        assert "REPEATABLE READ" in said[0]
        assert len(said) == 4
