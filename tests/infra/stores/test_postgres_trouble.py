"""What becomes of turns and reading when the server, or the way there, is in trouble: `unavailable` in time, nothing
that was acknowledged lost, and soon at work again.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest

from chat.domain.errors import Unavailable
from chat.domain.log import AnswerRow, Writes
from chat.infra.stores.postgres import PostgresStore
from tests.faults.proxy import BLACK_HOLE, FINE, Proxy
from tests.infra.stores.databases import TOLD_WITHIN, back, opened, refusal, turn, unavailable
from tests.infra.stores.given import event, say, sent, write
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.requires("postgresql")

PAGE: Final = 8_192  # bytes
LONG_AGO: Final = 5.0  # seconds after which a leader that has not asked is none


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
async def store(server: Postgres) -> AsyncIterator[PostgresStore]:
    """With a message in it, and every session connected."""
    async with opened(server.new_database()) as store:
        await say(store, "hello")
        await store.load([])
        await store.lead()
        yield store


def killed(server: Postgres) -> None:
    """Every session of the chat."""
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chat'")


# A server that is frozen, stopped, gone.


async def asks_everything(store: PostgresStore) -> None:
    """As a turn and its readers would, all at once; and so does who comes meanwhile."""

    async def ask(after: float) -> None:
        await asyncio.sleep(after)
        asked = (store.begin(0, [], []), store.load([]), store.read_log(0, 1), store.probe(), store.lead())
        await asyncio.gather(*map(unavailable, asked))

    await asyncio.gather(ask(0), ask(1))


async def test_a_frozen_server_is_told_in_time_and_used_again_when_it_goes_on(
    server: Postgres, store: PostgresStore, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pause()
    try:
        start = time.monotonic()
        await asks_everything(store)
        took = time.monotonic() - start
        assert took < TOLD_WITHIN
        await asyncio.sleep(0.3)
        await asks_everything(store)  # by connections that are not answered
    finally:
        server.resume()
    returned = await back(store)
    with capsys.disabled():
        print(f"\nfrozen: twice told after {took:.1f} s, back after {returned:.1f} s")
    assert (await store.read_info()).head == 1


async def test_who_comes_while_a_turn_fails_is_told_in_time_too(server: Postgres, store: PostgresStore) -> None:
    server.pause()
    try:
        turns = []
        for _ in range(8):
            turns.append(asyncio.create_task(unavailable(store.begin(0, [], []))))
            await asyncio.sleep(0.4)
        await asyncio.gather(*turns)
    finally:
        server.resume()
    await back(store)


async def test_a_turn_that_the_server_freezes_in_can_be_given_up(server: Postgres, store: PostgresStore) -> None:
    await store.begin(0, [], [])
    server.pause()
    try:
        await unavailable(store.commit(Writes(log=(event(2),))))
        start = time.monotonic()
        await store.abandon()
        assert time.monotonic() - start < TOLD_WITHIN
    finally:
        server.resume()
    await back(store)
    assert (await store.read_info()).head == 1


async def test_a_store_is_closed_beside_a_frozen_server(server: Postgres) -> None:
    store = PostgresStore(server.new_database())
    await store.open("epoch", 1)
    await store.lead()
    before = asyncio.all_tasks()
    await store.begin(0, [], [])
    server.pause()
    try:
        under_way = asyncio.create_task(store.load([]))
        await asyncio.sleep(0.05)
        start = time.monotonic()
        await store.resign()
        await store.close()
        assert time.monotonic() - start < 2 * TOLD_WITHIN
        with pytest.raises(Unavailable):
            await under_way
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
    finally:
        server.resume()


async def test_a_frozen_server_is_told_at_the_start(server: Postgres) -> None:
    url = server.new_database()
    server.pause()
    try:
        assert "cannot be reached" in await refusal(url)
    finally:
        server.resume()


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_server_that_stops_and_starts_is_used_again(
    server: Postgres, store: PostgresStore, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await store.begin(0, [], [])
    server.stop(mode)
    try:
        await unavailable(store.commit(Writes(log=(event(2),))))
        await asks_everything(store)
        await asyncio.sleep(1.5)  # it pauses for longer each time
        await asks_everything(store)
    finally:
        server.start()
    returned = await back(store)
    with capsys.disabled():
        print(f"\nstopped ({mode}): back after {returned:.1f} s")
    assert await store.read_log(0, 9) == [sent(1)]
    await write(store, log=[event(2)])


async def test_a_server_that_restarts_between_two_turns_is_not_noticed(server: Postgres, store: PostgresStore) -> None:
    server.stop("fast")
    server.start()
    await asyncio.sleep(0.1)  # the ends of its connections are heard of
    assert await turn(store) == 2
    assert (await store.load([])).position == 2


async def test_a_server_that_takes_no_writes_is_unavailable_and_read_from(
    server: Postgres, store: PostgresStore
) -> None:
    name = store.name.split()[0]
    server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    killed(server)
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable, match="read-only"):
        await store.probe()
    await asyncio.sleep(0.3)
    assert await store.read_log(0, 9) == [sent(1)]
    server.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    killed(server)
    await back(store)


# Sessions that end.


async def test_a_session_that_is_ended_within_a_turn_takes_the_turn_with_it(
    server: Postgres, store: PostgresStore
) -> None:
    await store.begin(0, [], [])
    killed(server)
    await unavailable(store.commit(Writes(log=(event(2),))))
    await back(store)
    assert (await store.read_info()).head == 1


async def test_sessions_that_were_ended_between_turns_are_made_anew(server: Postgres, store: PostgresStore) -> None:
    killed(server)
    await asyncio.sleep(0.1)
    assert await turn(store) == 2
    assert (await store.load([])).position == 2


async def test_a_session_that_is_ended_is_no_trouble_for_the_others(server: Postgres, store: PostgresStore) -> None:
    connection = store._publisher._connection
    assert connection
    connection.terminate()
    with pytest.raises(Unavailable):
        await store.mark_published(1)
    assert await turn(store) == 2
    slow = store._searcher.run(0.1, lambda connection: connection.fetch("SELECT pg_sleep(1)"))
    await unavailable(slow)
    assert await turn(store) == 3


async def test_a_node_that_stops_within_a_turn_loses_the_lock_and_is_told(
    server: Postgres, store: PostgresStore, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(server.url(store.name.split()[0])) as other:
        await store.begin(0, [], [])
        start = time.monotonic()
        assert await turn(other) == 2
        took = time.monotonic() - start
        with capsys.disabled():
            print(f"\na stopped node's turn was taken from it after {took:.1f} s")
        await unavailable(store.commit(Writes(log=(event(2),))))
        assert [row.position for row in await other.read_log(0, 9)] == [1, 2]
    await back(store)


async def test_who_waits_too_long_for_the_lock_is_told(server: Postgres, store: PostgresStore) -> None:
    """One that is at work, and not stopped."""
    async with opened(server.url(store.name.split()[0])) as other:
        await store.begin(0, [], [])
        busy = asyncio.create_task(keep_busy(store, 3.5))
        await unavailable(other.begin(0, [], []))
        await busy
        await store.commit(Writes(log=(event(2),)))
        await back(other)


async def keep_busy(store: PostgresStore, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await store.load_locked([])
        await asyncio.sleep(0.2)


# The way there.


@pytest.mark.parametrize("lost", ["the wish", "the answer"])
async def test_a_commit_that_is_lost_on_its_way_is_unavailable_and_the_next_turn_knows(
    server: Postgres, lost: str
) -> None:
    async with Proxy(server.port) as proxy:
        url = server.new_database()
        async with opened(url.replace(str(server.port), str(proxy.port))) as store, opened(url) as witness:
            way = proxy.to_server if lost == "the wish" else proxy.to_client
            await store.begin(0, [("a", "1")], [])
            before_commit(store, lambda: setattr(way, "weather", BLACK_HOLE))
            await unavailable(store.commit(Writes(log=(event(1),), answers=(AnswerRow("a", "1", b"first"),))))
            way.weather = FINE
            await back(store)
            begun = await store.begin(0, [("a", "1")], [])
            assert begun.answered == ({} if lost == "the wish" else {("a", "1"): b"first"})
            assert begun.info.head == len(begun.answered) == (await witness.read_info()).head
            await store.abandon()


def before_commit(store: PostgresStore, happens: Callable[[], None]) -> None:
    """Once all else of the turn is with the server."""
    connection: Any = store._writer._connection
    execute = connection.execute

    async def watched(text: str, *values: Any) -> Any:
        if text == "COMMIT":
            happens()
        return await execute(text, *values)

    connection.execute = watched


async def test_a_way_that_is_cut_takes_the_turn_with_it(server: Postgres) -> None:
    async with Proxy(server.port) as proxy:
        url = server.new_database().replace(str(server.port), str(proxy.port))
        async with opened(url) as store:
            await store.begin(0, [], [])
            proxy.cut()
            await unavailable(store.commit(Writes(log=(event(1),))))
            proxy.refusing = True
            await asyncio.sleep(0.3)
            await asks_everything(store)
            proxy.refusing = False
            await back(store)
            assert await turn(store) == 1


# Who leads.


async def leads_within(store: PostgresStore, seconds: float) -> float:
    start = time.monotonic()
    while await store.lead() is None:
        assert time.monotonic() - start < seconds
        await asyncio.sleep(0.1)
    return time.monotonic() - start


async def test_of_several_one_leads_and_another_when_it_resigns_or_closes(server: Postgres) -> None:
    url = server.new_database()
    async with opened(url) as one, opened(url) as other:
        assert await one.lead() == 0
        for _ in range(3):
            assert await other.lead() is None
            assert await one.lead() == 0
        with pytest.raises(Unavailable, match="does not lead"):
            await other.mark_published(1)
        await one.mark_published(4)
        await one.resign()
        assert await other.lead() == 4
        with pytest.raises(Unavailable, match="does not lead"):
            await one.mark_published(5)
        assert await one.lead() is None
        await other.close()
        await leads_within(one, 5)


async def test_another_leads_when_the_connection_of_the_one_is_lost(server: Postgres) -> None:
    url = server.new_database()
    async with opened(url) as one, opened(url) as other:
        await one.lead()
        await other.lead()
        assert one._publisher._connection
        server.run(f"SELECT pg_terminate_backend({one._publisher._connection.get_server_pid()})")
        await leads_within(other, 5)
        with pytest.raises(Unavailable):
            await one.mark_published(1)
        await asyncio.sleep(0.3)
        assert await one.lead() is None


async def test_another_leads_when_the_one_has_stopped_asking(
    server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.new_database()
    async with opened(url) as one, opened(url) as other:
        await one.lead()
        await one.mark_published(3)
        took = await leads_within(other, LONG_AGO + 5)
        with capsys.disabled():
            print(f"\nled by another after {took:.1f} s")
        with pytest.raises(Unavailable):
            await one.mark_published(5)
        assert await other.lead() == 3


# Damage.


def spoil(server: Postgres, database: str, *relations: str) -> None:
    """The head of their last page."""
    paths = [server.run(f"CHECKPOINT; SELECT pg_relation_filepath('{name}')", database) for name in relations]
    server.stop("fast")
    for path in paths:
        with (server.data / path).open("r+b") as file:
            file.seek(-PAGE + 8, os.SEEK_END)
            file.write(b"\xff" * 64)
    server.start()


async def test_damage_is_told(server: Postgres) -> None:
    url = server.new_database()
    async with opened(url) as store:
        await say(store, *["hello"] * 50)
        await write(store, answers=[AnswerRow("a", "1", b"first")])
    spoil(server, url.rpartition("/")[2], "states", "was_answered")
    async with opened(url, read_only=True) as store:
        assert "invalid page" in "".join(await store.check_table("states"))
        assert await store.check_table("log") == await store.check_table("answered") == []
        server.run("CREATE EXTENSION amcheck", url.rpartition("/")[2])
        assert await store.check_table("log") == []
        assert "invalid page" in "".join(await store.check_table("answered"))
