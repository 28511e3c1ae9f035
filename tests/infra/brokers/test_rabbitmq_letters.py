"""Letters from other programs: each is carried out, answered once, and gone; or put aside, and gone; or comes again."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from structlog.testing import capture_logs

from chat.domain.limits import FRAME
from chat.domain.programs import Letter, Reply
from chat.infra.brokers.rabbitmq import RabbitBroker
from chat.infra.brokers.rabbitmq_letters import PREFETCH
from tests.faults.proxy import Proxy
from tests.infra.brokers.given import (
    COMMANDS,
    DEAD,
    Program,
    Remembering,
    never,
    program,
    refuse,
    running,
    taken,
    until,
)
from tests.servers.rabbitmq import RabbitServer

pytestmark = pytest.mark.requires("rabbitmq")

ACK = b'{"type":"ack","of":hello}'


@pytest.fixture
async def other(server: RabbitServer) -> AsyncIterator[Program]:
    """The queues are there, and empty."""
    async with running(RabbitBroker(server.url), Remembering()):
        pass
    async with program(server.url) as writing:
        for name in COMMANDS, DEAD:
            queue = await writing.channel.get_queue(name)
            await queue.purge()
        yield writing


async def write_raw(other: Program, correlation_id: bytes) -> None:
    """As no decent library would: the id need not be text."""
    wire = await other.bare.get_underlay_channel()
    assert isinstance(wire, Channel)
    stands_in = "~" * len(correlation_id)
    properties = Basic.Properties(correlation_id=stands_in, reply_to=other.answers.name)
    header = ContentHeader(body_size=3, properties=properties)
    frames: list[Any] = [Basic.Publish(routing_key=COMMANDS), header, ContentBody(b"raw")]
    sent = ChannelFrame.marshall(wire.number, frames)
    raw = dataclasses.replace(sent, payload=sent.payload.replace(stands_in.encode(), correlation_id))
    await wire.write_queue.put(raw)


async def test_a_letter_is_carried_out_answered_once_and_gone(server: RabbitServer, other: Program) -> None:
    listener = Remembering()
    async with running(RabbitBroker(server.url), listener):
        await other.write(b"hello", correlation_id="c1", headers={"token": "bot"})
        assert await other.answered() == [("c1", ACK)]
        await other.counts(COMMANDS, 0)
    assert listener.letters == [Letter(b"hello", "bot")]
    assert await other.count(other.answers.name) == await other.count(COMMANDS) == await other.count(DEAD) == 0


async def test_letters_are_begun_in_their_order(server: RabbitServer, other: Program) -> None:
    listener = Remembering()
    for number in range(200):
        await other.write(b"%d" % number)
    async with running(RabbitBroker(server.url), listener):
        await other.answered(200)
    assert [int(letter.frame) for letter in listener.letters] == list(range(200))


async def test_a_letter_without_an_address_is_carried_out_and_gone(server: RabbitServer, other: Program) -> None:
    listener = Remembering()
    async with running(RabbitBroker(server.url), listener):
        await other.write(b"hello", reply_to=None)
        await until(lambda: listener.letters, "the letter")
    await other.counts(COMMANDS, 0)


async def test_what_cannot_be_read_is_answered_and_put_aside_and_never_comes_again(
    server: RabbitServer, other: Program
) -> None:
    listener = Remembering()
    listener.reply = refuse
    async with running(RabbitBroker(server.url), listener):
        await other.write(b"{", correlation_id="c1")
        assert await other.answered() == [("c1", b'{"type":"refused","code":"malformed"}')]
        await other.counts(DEAD, 1)
    async with running(RabbitBroker(server.url), listener):
        await other.counts(COMMANDS, 0)
    assert len(listener.letters) == 1
    [aside] = await taken(await other.channel.get_queue(DEAD), 1)
    assert aside.body == b"{"


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": {"token": 7}},
        {"headers": {"token": bytearray(b"\xff\xfe")}},
        {"headers": {"token": ["bot"]}},
        {"headers": {"token": {"token": "bot"}}},
        {"headers": {"token": None, "x-death": "soon", "": "nothing"}},
        {"correlation_id": None},
        {"correlation_id": "x" * 255},
        {"reply_to": "nowhere"},
        {"type": "news", "app_id": "chat.node.1", "content_type": "text/plain", "priority": 200},
    ],
    ids=str,
)
async def test_odd_properties_harm_nobody(server: RabbitServer, other: Program, properties: dict[str, Any]) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    async with running(broker, listener):
        await other.write(b"odd", **properties)
        await other.write(b"hello", correlation_id="after")
        async with asyncio.timeout(10):
            while await other.answered() != [("after", ACK)]:
                pass
        await other.counts(COMMANDS, 0)
        assert listener.missed_times == 1
    assert listener.letters == [Letter(b"odd", ""), Letter(b"hello", "")]


async def test_an_address_that_ends_the_connection_does_so_twice_at_most(server: RabbitServer, other: Program) -> None:
    broker, listener = RabbitBroker(server.url), Remembering()
    async with running(broker, listener):
        await other.write(b"odd", reply_to="amq.rabbitmq.reply-to.of.nobody")
        await until(lambda: listener.letters, "the letter")
        await other.counts(COMMANDS, 0)
        await until(lambda: not broker.is_away, "the broker to come back")
        await other.write(b"hello", correlation_id="after")
        assert await other.answered() == [("after", ACK)]
        await other.counts(COMMANDS, 0)
    assert 1 <= listener.letters.count(Letter(b"odd", "")) <= 2
    assert listener.missed_times <= 3


async def test_an_answer_reaches_who_listens_without_a_queue(server: RabbitServer, other: Program) -> None:
    direct = await other.channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(answer: AbstractIncomingMessage) -> None:
        await answers.put(answer.body)

    await direct.consume(keep, no_ack=True)
    async with running(RabbitBroker(server.url), Remembering()):
        await other.write(b"hello", reply_to="amq.rabbitmq.reply-to")
        async with asyncio.timeout(10):
            assert await answers.get() == ACK


async def test_a_header_that_no_library_decodes_is_put_aside(server: RabbitServer, other: Program) -> None:
    listener = Remembering()
    async with running(RabbitBroker(server.url), listener):
        await write_raw(other, b"\xff\xfe\xfd")
        await other.write(b"hello")
        assert await other.answered() == [("1", ACK)]
        await other.counts(DEAD, 1)
        assert listener.missed_times == 1, "the connection was lost"
    assert [letter.frame for letter in listener.letters] == [b"hello"]


async def test_a_body_beyond_any_frame_is_handed_on_whole(server: RabbitServer, other: Program) -> None:
    listener = Remembering()
    async with running(RabbitBroker(server.url), listener):
        await other.write(b"x" * (FRAME + 1))
        await until(lambda: listener.letters, "the letter")
    assert len(listener.letters[0].frame) == FRAME + 1


async def test_a_letter_that_breaks_the_chat_is_put_aside(server: RabbitServer, other: Program) -> None:
    async def break_once(letter: Letter) -> Reply:
        if letter.frame == b"evil":
            raise KeyError("words that somebody wrote")
        return Reply(b"fine")

    listener = Remembering()
    listener.reply = break_once
    with capture_logs() as lines:
        async with running(RabbitBroker(server.url), listener):
            await other.write(b"evil")
            await other.write(b"good")
            assert await other.answered() == [("1", b"fine")]
            await other.counts(DEAD, 1)
    assert len(listener.letters) == 2
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "a letter broke the chat, and is put aside"
    ]


async def test_no_more_letters_are_under_way_than_agreed_and_what_was_not_settled_comes_again(
    server: RabbitServer, other: Program
) -> None:
    count = PREFETCH + 36
    for number in range(count):
        await other.write(b"%d" % number)
    busy, free = Remembering(), Remembering()
    busy.reply = never
    async with running(RabbitBroker(server.url), busy):
        await until(lambda: len(busy.letters) == PREFETCH, "the first letters")
        await other.counts(COMMANDS, count - PREFETCH)
        assert len(busy.letters) == PREFETCH
    async with running(RabbitBroker(server.url), free):
        await other.answered(count)
    assert sorted(int(letter.frame) for letter in free.letters) == list(range(count))


async def test_a_letter_comes_again_when_the_connection_is_lost_before_its_end_and_is_answered_once(
    server: RabbitServer, other: Program
) -> None:
    listener = Remembering()
    listener.reply = never
    async with Proxy(server.port) as proxy, running(RabbitBroker(server.url_by(port=proxy.port)), listener):
        await other.write(b"hello", correlation_id="c1")
        await until(lambda: listener.letters, "the letter")
        listener.reply = Remembering().reply
        proxy.cut()
        assert await other.answered() == [("c1", ACK)]
        await other.counts(COMMANDS, 0)
    assert listener.letters == [Letter(b"hello", "")] * 2
    assert await other.count(other.answers.name) == 0


async def test_the_queue_of_what_was_put_aside_is_bounded(server: RabbitServer, other: Program) -> None:
    held = await asyncio.to_thread(server.ctl, "list_queues", "--vhost", server.vhost, "name", "durable", "arguments")
    [aside] = [line for line in held.splitlines() if line.startswith(f"{DEAD}\t")]
    assert "10000" in aside
    assert "drop-head" in aside
