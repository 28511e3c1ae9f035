"""The stream of events for other programs: in order, as they were, and what is said to be safe is safe."""

import asyncio
import time

import pytest

from chat.infra.brokers.rabbitmq import RabbitBroker
from tests.infra.brokers.given import Remembering, program, publications, running, taken, until
from tests.servers.rabbitmq import RabbitServer

pytestmark = pytest.mark.requires("rabbitmq")

SLICE = 200
AUDIT = "audit"


async def test_what_is_published_arrives_in_order_and_says_what_it_is(server: RabbitServer) -> None:
    broker = RabbitBroker(server.url)
    async with running(broker, Remembering()), program(server.url) as other:
        queue = await other.subscribe("message_sent.*")
        assert await broker.publish(publications(SLICE)) == SLICE
        messages = await taken(queue, SLICE)
    assert [message.headers["position"] for message in messages] == list(range(1, SLICE + 1))
    last = messages[-1]
    assert last.body == b'{"type":"message_sent"}'
    assert (last.type, last.message_id) == ("message_sent", f"r1:{SLICE}")
    assert (last.content_type, last.delivery_mode) == ("application/json", 2)
    assert last.routing_key == "message_sent.r1"


async def test_positions_beyond_32_bits_and_large_bodies_arrive(server: RabbitServer) -> None:
    broker = RabbitBroker(server.url)
    async with running(broker, Remembering()), program(server.url) as other:
        queue = await other.subscribe()
        assert await broker.publish(publications(1, first=2**53 - 1, body=b"x" * 300_000)) == 1
        [message] = await taken(queue, 1)
    assert message.headers["position"] == 2**53 - 1
    assert len(message.body) == 300_000


async def test_what_was_confirmed_outlives_the_broker_and_the_rest_can_be_sent_again(
    server: RabbitServer, capsys: pytest.CaptureFixture[str]
) -> None:
    broker, safe, slices = RabbitBroker(server.url), 0, 0
    async with running(broker, Remembering()):
        async with program(server.url) as other:
            queue = await other.channel.declare_queue(AUDIT, durable=True)
            await queue.bind("chat.events", "#")
        killing = asyncio.create_task(_kill_amid(server))
        while not broker.is_away:
            safe += await broker.publish(publications(SLICE, first=safe + 1))
            slices += 1
        await killing
        await asyncio.to_thread(server.start)
        await until(lambda: not broker.is_away, "the broker to come back")
        again = await broker.publish(publications(SLICE, first=safe + 1))
    assert again == SLICE
    async with program(server.url) as other:
        queue = await other.channel.get_queue(AUDIT)
        declared = await other.channel.declare_queue(AUDIT, passive=True)
        messages = await taken(queue, declared.declaration_result.message_count or 0)
        await other.channel.queue_delete(AUDIT)
    positions = [str(message.headers["position"]) for message in messages]
    # As a consumer reads it, which drops what it has seen.
    assert list(dict.fromkeys(positions)) == [str(number) for number in range(1, safe + SLICE + 1)]
    with capsys.disabled():
        print(f"\n{safe} confirmed in {slices} slices, {len(positions)} kept, {len(set(positions))} different")


async def _kill_amid(server: RabbitServer) -> None:
    await asyncio.sleep(0.3)  # some slices
    server.kill()


async def test_confirmed_publishing_is_fast_enough_in_slices(
    server: RabbitServer, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = RabbitBroker(server.url)
    async with running(broker, Remembering()):
        began = time.perf_counter()
        for slice_ in range(10):
            assert await broker.publish(publications(SLICE, first=slice_ * SLICE)) == SLICE
        rate = 10 * SLICE / (time.perf_counter() - began)
    with capsys.disabled():
        print(f"\n{rate:,.0f} confirmed publications a second, {SLICE} at once")
