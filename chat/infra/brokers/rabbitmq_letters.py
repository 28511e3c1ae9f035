"""The queue of commands from other programs: each is carried out, then answered, and only then acknowledged.

So it is delivered again when the node or the connection dies before that, to be carried out once more: the chat knows a
command by its id. What cannot be read is put aside in a queue of its own, for somebody to look at: the latest 10,000.
"""

import asyncio
from typing import Final

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError
from aiormq.abc import AbstractChannel as Wire
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from chat.domain.programs import Letter, Reply
from chat.infra.brokers.listener import Listener
from chat.infra.brokers.rabbitmq_frames import UNREADABLE
from chat.infra.brokers.rabbitmq_link import Broken, Link

log = structlog.get_logger("chat")

QUEUE: Final = "chat.commands"
ASIDE: Final = "chat.commands.dead"
ASIDE_MOST: Final = 10_000  # the oldest goes
PREFETCH: Final = 64  # letters under way at once


class Misdeclared(Broken):
    """A sentence for the operator."""


class Letters:
    """Those of one connection."""

    def __init__(self, link: Link, listener: Listener) -> None:
        self._link = link
        self._listener = listener
        self._arrived: asyncio.Queue[tuple[DeliveredMessage, Wire]] = asyncio.Queue()  # the prefetch bounds it
        self._answering: AbstractChannel
        self._taking: AbstractChannel

    async def open(self) -> None:
        self._answering = await self._link.channel(confirms=True)
        self._taking = await self._link.channel(prefetch=PREFETCH)
        await self._declare(ASIDE, {"x-max-length": ASIDE_MOST, "x-overflow": "drop-head"})
        await self._declare(QUEUE, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": ASIDE})

    async def _declare(self, queue: str, arguments: FieldTable) -> None:
        try:
            await self._link.call(self._taking.declare_queue(queue, durable=True, arguments=arguments))
        except ChannelPreconditionFailed as error:
            raise Misdeclared(
                f"the queue {queue} was declared otherwise by another program or version: take out what is in it and "
                f"delete it, and it is declared anew ({error})"
            ) from error

    async def listen(self) -> None:
        await self._link.consume(self._taking, QUEUE, self._take)

    async def _take(self, message: DeliveredMessage, wire: Wire) -> None:
        self._arrived.put_nowait((message, wire))

    async def answer(self) -> None:
        """All that arrive, each in a task, begun in their order."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._answer(*await self._arrived.get()))

    async def _answer(self, message: DeliveredMessage, wire: Wire) -> None:
        reply = await self._carry_out(message)
        suspect = _may_be_a_trap(message)
        if suspect:
            await self._settle(message, wire, reply)
        await self._reply(message, reply)
        if not suspect:
            await self._settle(message, wire, reply)

    async def _carry_out(self, message: DeliveredMessage) -> Reply | None:
        """Nothing, of a letter that nobody can read, or that breaks the chat: it would do so again."""
        if message.header.properties.message_type == UNREADABLE:
            return None
        try:
            return await self._listener.carry_out(Letter(message.body, _token(message)))
        except Exception:
            log.exception("a letter broke the chat, and is put aside", queue=ASIDE)
            return None

    async def _reply(self, message: DeliveredMessage, reply: Reply | None) -> None:
        properties = message.header.properties
        if not reply or not properties.reply_to:
            return
        answer = Message(
            reply.frame,
            content_type="application/json",
            correlation_id=properties.correlation_id,
            delivery_mode=DeliveryMode.NOT_PERSISTENT,
        )
        exchange = self._answering.default_exchange
        try:
            await self._link.send(exchange.publish(answer, properties.reply_to, mandatory=False))
        except DeliveryError:
            log.warning("a reply was not taken", queue=properties.reply_to)

    async def _settle(self, message: DeliveredMessage, wire: Wire, reply: Reply | None) -> None:
        tag = message.delivery_tag or 0
        if reply and reply.readable:
            await self._link.send(wire.basic_ack(tag, wait=False))
        else:
            await self._link.send(wire.basic_reject(tag, requeue=False, wait=False))


def _may_be_a_trap(message: DeliveredMessage) -> bool:
    """RabbitMQ ends the connection over an answer to some addresses of this kind. Such a letter comes again, and then
    is settled first: or it would do so for ever."""
    reply_to = message.header.properties.reply_to or ""
    return bool(message.redelivered) and reply_to.startswith("amq.rabbitmq.reply-to")


def _token(message: DeliveredMessage) -> str:
    token = (message.header.properties.headers or {}).get("token")
    return token if isinstance(token, str) else ""
