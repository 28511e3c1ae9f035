"""Many stores on one database: one log without a gap, and the whole tail under the lock.

CHAT_TEST_EVENTS says how many events fill the fresh database that is watched for decay; 50,000 without.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final

import pytest
from asyncpg import Connection

from chat.application.ports import Store
from chat.domain.log import TAIL, AnswerRow, Begun, LogRow, StateRow, WordsRow, Writes
from chat.infra.stores import postgres_statements as statements
from chat.infra.stores.postgres import PostgresStore
from tests.infra.stores.databases import opened, turn
from tests.infra.stores.given import event, key
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.requires("postgresql")

STORES: Final = 4
TURNS: Final = 100
EVENTS: Final = int(os.environ.get("CHAT_TEST_EVENTS", "50000"))
PEOPLE: Final = 500
TABLES: Final = ("log", "states", "answered", "words", "listed")


async def several(stack: AsyncExitStack, url: str, number: int = STORES) -> list[PostgresStore]:
    """At once, on a database in which there is nothing."""
    return list(await asyncio.gather(*(stack.enter_async_context(opened(url)) for _ in range(number))))


async def test_nodes_that_start_together_make_one_log(url: str) -> None:
    async with AsyncExitStack() as stack:
        stores = await several(stack, url, 10)
        for position, store in enumerate(stores, 1):
            assert await turn(store) == position


async def turns(store: Store, chance: Random) -> list[LogRow]:
    """Of a node that is never at rest. All the events of the log, as it came to know them."""
    known: list[LogRow] = []
    for _ in range(TURNS):
        begun = await store.begin(len(known), [], [])
        check_tail(begun, len(known))
        known += begun.tail
        rows = [event(begun.info.head + more, about="a") for more in range(1, chance.randint(2, 4))]
        if chance.random() < 0.1:
            await store.abandon()
        else:
            await store.commit(Writes(log=tuple(rows)))
            known += rows
    return known


def check_tail(begun: Begun, after: int) -> None:
    """Under the lock it ends where the log does: it is of a moment when nobody else could write."""
    assert [row.position for row in begun.tail] == list(range(after + 1, begun.info.head + 1))
    assert begun.loaded.position == begun.info.head


async def test_turns_of_all_nodes_follow_one_another_without_a_gap(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        stores = await several(stack, url)
        start = time.monotonic()
        known = await asyncio.gather(*(turns(store, Random(seed)) for seed, store in enumerate(stores)))
        took = time.monotonic() - start
        log = await stores[0].read_log(0, 10_000)
        assert [row.position for row in log] == list(range(1, len(log) + 1))
        assert len(log) > STORES * TURNS
        assert all(each == log[: len(each)] for each in known)
        with capsys.disabled():
            print(f"\n{STORES} nodes, {STORES * TURNS} turns: {STORES * TURNS / took:.0f} turns/s")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_who_waited_for_the_lock_sees_what_was_written_meanwhile(
    postgres: Postgres, url: str, level: str
) -> None:
    """Whatever the database is set to: its transactions would see what there was before they waited."""
    postgres.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_isolation = '{level}'")
    async with AsyncExitStack() as stack:
        first, second = await several(stack, url, 2)
        await first.begin(0, [], [])
        waiting = asyncio.create_task(second.begin(0, [], []))
        await somebody_waits(postgres)
        await first.commit(Writes(log=(event(1),)))
        begun = await waiting
        check_tail(begun, 0)
        assert begun.info.head == 1
        await second.commit(Writes(log=(event(2),)))


async def somebody_waits(postgres: Postgres) -> None:
    for _ in range(100):
        if postgres.run("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0":
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


async def test_loads_beside_turns_are_of_one_moment(url: str) -> None:
    """Every turn logs an event and writes the state that counts them."""
    async with AsyncExitStack() as stack:
        writer, reader, *_ = await several(stack, url, 2)
        writing = asyncio.create_task(count(writer))
        while not writing.done():
            loaded = await reader.load(["room:r"])
            stored = loaded.states["room:r"]
            written = stored.snapshot.seq if stored.snapshot else 0
            assert written + len(stored.tail) == loaded.position
            assert [row.seq for row in stored.tail] == list(range(written + 1, loaded.position + 1))
        await writing


async def count(store: Store) -> None:
    for position in range(1, 200):
        await store.begin(position, [], [])
        states = (StateRow("room:r", position, 1, b""),) if position % 3 == 0 else ()
        await store.commit(Writes(log=(event(position),), states=states))


# A fresh database fills, and nobody has told the planner.


async def fill(store: Store, first: int, last: int, per_turn: int) -> float:
    """As messages of many people do. Turns in a second."""
    start = time.monotonic()
    for head in range(first - 1, last, per_turn):
        rows = [message(position) for position in range(head + 1, head + per_turn + 1)]
        asked = [(f"account:{row.position % PEOPLE}", f"{row.position:012d}") for row in rows]
        begun = await store.begin(head, asked, [f"room:{row.position % 50}" for row in rows] + ["server"])
        assert not begun.answered
        await store.commit(
            Writes(
                log=tuple(rows),
                states=tuple(StateRow(row.about or "", 0, 1, row.event) for row in rows),
                words=tuple(WordsRow(row.about or "", row.position, (), words(row.position)) for row in rows),
                answers=tuple(AnswerRow(*who, b'{"seq":1}') for who in asked),
            )
        )
    return (last - first + 1) / per_turn / (time.monotonic() - start)


def message(position: int) -> LogRow:
    room, seq = position % 50, position // 50 + 1
    return LogRow(position, f"message:{room}", seq, key(position, str(room)), b'{"text":"some words of a message"}')


def words(position: int) -> tuple[str, ...]:
    return (f"room:{position % 50}", f"author:{position % PEOPLE}", "common", f"w{position % 5_000}")


def values(sql: str) -> tuple[Any, ...]:
    """None for each that the statement has."""
    return (None,) * max((number for number in range(1, 40) if f"${number}" in sql), default=0)


async def plans(store: PostgresStore) -> dict[str, str]:
    said = {name: text for name, text in vars(statements).items() if name.isupper() and isinstance(text, str)}
    explained = [
        name
        for name, text in said.items()
        if text.lstrip().startswith(("SELECT", "WITH", "UPDATE")) and "?" not in text
    ]

    async def explain(connection: Connection) -> dict[str, str]:
        found = {}
        for name in explained:
            await connection.execute(f"PREPARE explained AS {said[name]}")
            nulls = ", ".join(["NULL"] * len(values(said[name])))
            rows = await connection.fetch(f"EXPLAIN EXECUTE explained{f'({nulls})' if nulls else ''}")
            found[name] = "\n".join(row[0] for row in rows)
            await connection.execute("DEALLOCATE explained")
        return found

    return await store._writer.run(10, explain)


async def test_a_database_that_fills_does_not_slow_down(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with opened(url) as store:
        rates = [await fill(store, 1, 1_000, 1)]
        await fill(store, 1_001, EVENTS - 1_000, 100)
        rates.append(await fill(store, EVENTS - 999, EVENTS, 1))
        with capsys.disabled():
            print(f"\n{EVENTS:,} events: {rates[0]:.0f} turns/s at the beginning, {rates[1]:.0f} at the end")
        for name, plan in (await plans(store)).items():
            scanned = [table for table in TABLES if f"Seq Scan on {table} " in plan]
            assert not scanned, f"{name}\n{plan}"
            assert "Hash" not in plan.replace("HashAggregate", ""), f"{name}\n{plan}"
        begun = await store.begin(EVENTS - TAIL, [], [])
        check_tail(begun, EVENTS - TAIL)
        assert await pages_read(store) < 100


async def pages_read(store: PostgresStore) -> int:
    """By what every turn reads."""

    async def explain(connection: Connection) -> str:
        sql = statements.BEGUN
        await connection.execute(f"PREPARE explained AS {sql}")
        given = f"{EVENTS - 10}, {TAIL}, ARRAY['account:1'], ARRAY['none'], ARRAY['room:1'], ARRAY['room:1']"
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF) EXECUTE explained({given})")
        return "\n".join(row[0] for row in rows)

    plan = await store._writer.run(10, explain)
    first = next(line for line in plan.splitlines() if "Buffers: " in line)
    return sum(int(word.partition("=")[2]) for word in first.split() if word.startswith(("hit=", "read=")))
