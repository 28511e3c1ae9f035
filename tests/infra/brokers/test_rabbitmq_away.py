"""RabbitMQ may go in any way, and come back: a node notices, says so once, goes on ringing into the void, and is there
again by itself, with the news that something was missed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from structlog.testing import capture_logs

from chat.infra.brokers import rabbitmq as rabbitmq_module
from chat.infra.brokers.rabbitmq import RabbitBroker
from tests.faults.proxy import BLACK_HOLE, FINE, Proxy
from tests.infra.brokers.given import MISSED, Remembering, heard_by, publications, running, until
from tests.servers.rabbitmq import RabbitServer

pytestmark = pytest.mark.requires("rabbitmq")

LOST = b"lost"


def nodes(server: RabbitServer) -> list[str]:
    """The queues of nodes."""
    return [name for name in server.queues() if name.startswith("chat.node.")]


def delete_queues(server: RabbitServer) -> None:
    for name in nodes(server):
        server.delete_queue(name)


def nothing(server: RabbitServer) -> None:
    """It is there again by itself."""


@asynccontextmanager
async def lost_and_found(broker: RabbitBroker, listener: Remembering, why: str) -> AsyncIterator[None]:
    """What happens inside is noticed for what it is, told once, and over in the end."""
    before = len(listener.told)
    with capture_logs() as lines:
        yield
        await until(lambda: len(lines) >= 2 and not broker.is_away, "the broker to come back")
    assert [line["log_level"] for line in lines] == ["warning", "info"], lines
    assert why in lines[0]["why"]
    assert MISSED in listener.told[before:]
    await heard_by(listener, b"back", broker)
    await until(lambda: listener.told[-1] == b"back", "all that was rung to be heard")


def is_back(broker: RabbitBroker, listener: Remembering, times: int) -> bool:
    return listener.missed_times == times and not broker.is_away


def into_the_void(broker: RabbitBroker) -> None:
    """More than it may keep."""
    dropped = broker.dropped["away"]
    for _ in range(2_000):
        broker.ring(LOST)
    assert broker.dropped["away"] == dropped + 2_000


@pytest.mark.parametrize(
    ("trouble", "end", "why"),
    [
        (RabbitServer.kill, RabbitServer.start, "the connection was closed"),
        (RabbitServer.stop, RabbitServer.start, "CONNECTION_FORCED"),
        (RabbitServer.close_all_connections, nothing, "closed by the operator"),
        (delete_queues, nothing, "the broker ended the consumer of chat.node."),
    ],
    ids=["killed", "stopped", "connections closed", "queue deleted"],
)
async def test_it_is_noticed_and_over_in_the_end(
    server: RabbitServer, trouble: Callable[[RabbitServer], None], end: Callable[[RabbitServer], None], why: str
) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    async with running(broker, listener), lost_and_found(broker, listener, why):
        await asyncio.to_thread(trouble, server)
        if end is not nothing:
            await until(lambda: broker.is_away, "the loss to be noticed")
            assert await broker.publish(publications(3)) == 0
            into_the_void(broker)
        await asyncio.to_thread(end, server)
    assert LOST not in listener.heard


async def test_a_frozen_broker_is_noticed_and_nothing_waits_for_it(server: RabbitServer) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    leaving = running(RabbitBroker(server.url), Remembering())
    async with running(broker, listener):
        await leaving.__aenter__()
        async with lost_and_found(broker, listener, "nothing has come back"):
            server.pause()
            try:
                await leaving.__aexit__(None, None, None)
                async with asyncio.timeout(8):
                    assert await broker.publish(publications(3)) == 0
                await until(lambda: broker.is_away, "the frost to be noticed")
                into_the_void(broker)
                async with running(RabbitBroker(server.url), Remembering(), present=False):
                    await asyncio.sleep(0.5)  # into its connecting, which shows nowhere
            finally:
                server.resume()


async def test_nothing_stays_behind_of_a_connection_that_is_full_to_a_frozen_broker(server: RabbitServer) -> None:
    tasks = len(asyncio.all_tasks())
    broker = RabbitBroker(server.url)
    try:
        async with running(broker, Remembering()):
            server.pause()
            assert await broker.publish(publications(50, body=b"x" * 512 * 1024)) == 0
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "what served it to end", within=10)
    finally:
        server.resume()


async def test_a_silent_cut_is_noticed_in_each_direction(server: RabbitServer) -> None:
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(server.port)) for _ in range(3)]
        brokers = [RabbitBroker(server.url_by(port=proxy.port)) for proxy in proxies]
        ears = [Remembering() for _ in brokers]
        for broker, listener in zip(brokers, ears, strict=True):
            await stack.enter_async_context(running(broker, listener))
        to_server, to_client, both = proxies
        to_server.to_server.weather = both.to_server.weather = BLACK_HOLE
        to_client.to_client.weather = both.to_client.weather = BLACK_HOLE
        await until(lambda: all(broker.is_away for broker in brokers), "every cut to be noticed")
        for proxy in proxies:
            proxy.to_server.weather = proxy.to_client.weather = FINE
        await until(lambda: not any(broker.is_away for broker in brokers), "all to come back")
        for broker, listener in zip(brokers, ears, strict=True):
            assert listener.missed_times >= 2
            await heard_by(listener, b"back", broker)


async def test_an_alarm_is_sat_out_on_one_connection(server: RabbitServer) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    async with running(broker, listener), lost_and_found(broker, listener, "an alarm"):
        await asyncio.to_thread(server.raise_alarm)
        try:
            await until(lambda: broker.is_away, "the alarm to be noticed")
            into_the_void(broker)
            assert await broker.publish(publications(3)) == 0
            await asyncio.sleep(8)  # longer than echoes may be missing
            assert broker.is_away
            assert await asyncio.to_thread(server.connections) == ["blocked"]
        finally:
            await asyncio.to_thread(server.clear_alarm)


async def test_who_starts_in_an_alarm_is_there_when_it_is_over(server: RabbitServer) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    await asyncio.to_thread(server.raise_alarm)
    async with running(broker, listener, present=False):
        try:
            await until(lambda: listener.missed_times, "the connection")
            await asyncio.sleep(3)
            assert broker.is_away
        finally:
            await asyncio.to_thread(server.clear_alarm)
        await until(lambda: not broker.is_away, "the end of the alarm")
        await heard_by(listener, b"ding", broker)


async def test_each_connection_has_a_fresh_queue_and_leaves_nothing_behind(
    server: RabbitServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rabbitmq_module, "LASTING", 0.0)  # or it would wait longer from time to time
    listener = Remembering()
    async with Proxy(server.port) as proxy:
        broker = RabbitBroker(server.url_by(port=proxy.port))
        async with running(broker, listener):
            [first] = await asyncio.to_thread(nodes, server)
            tasks = len(asyncio.all_tasks())
            for times in range(2, 22):
                proxy.cut()
                await until(partial(is_back, broker, listener, times), "a rebuild")
            await until(lambda: len(asyncio.all_tasks()) <= tasks, "what served the earlier ones to end")
            await until(lambda: len(nodes(server)) == 1, "the earlier queues to go")
            [last] = await asyncio.to_thread(nodes, server)
            assert last != first
            assert await asyncio.to_thread(server.connections) == ["running"]
    await until(lambda: nodes(server) == [], "the last queue to go")
    with capsys.disabled():
        print(f"\n{listener.missed_times - 1} rebuilds, {tasks} tasks before and after")
