"""The doorbell between nodes: one fanout exchange, and for each connection a queue that goes with it.

Nothing waits for the broker here. What is rung stands in a short line until it is sent; what finds no room in it, or
in the queue of a node that is slow, is lost, and whoever misses it reads the log.

A node hears itself too. That is how it knows that it hears anything: every two seconds it sends an echo, and when three
have gone without anything of its own coming back, the connection is worth nothing, whatever the reason.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, ExchangeType
from aiormq.abc import AbstractChannel as Wire
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from chat.infra.brokers.line import Line
from chat.infra.brokers.listener import Listener
from chat.infra.brokers.rabbitmq_link import Broken, Link

EXCHANGE: Final = "chat.nodes"
# News in a node's queue at the broker; the oldest go.
WAITING: Final = 1_000
WAITING_BYTES: Final = 64 * 1024 * 1024
# News that a node has not sent yet; the oldest go.
UNSENT: Final = 1_000
UNSENT_BYTES: Final = 16 * 1024 * 1024
PREFETCH: Final = 100
ACKNOWLEDGED: Final = 50  # at once
ECHO_EVERY: Final = 2.0  # seconds
ECHOES: Final = 3  # that may be missing


class Bells:
    """Those of one connection. `on_return` is told whenever something of its own has come back."""

    def __init__(self, link: Link, listener: Listener, line: Line, on_return: Callable[[], None]) -> None:
        self._link = link
        self._listener = listener
        self._line = line
        self._on_return = on_return
        self._exchange: AbstractExchange
        # Of a fresh name: the broker may keep that of a connection that broke, and its news, for as long as it
        # believes in it.
        self._name = f"chat.node.{secrets.token_hex(8)}"
        self._missing = 0

    async def open(self) -> None:
        channel = await self._link.channel()
        self._exchange = await self._link.call(channel.declare_exchange(EXCHANGE, ExchangeType.FANOUT, durable=True))
        self._hearing = await self._link.channel(prefetch=PREFETCH)
        bounds: FieldTable = {"x-max-length": WAITING, "x-max-length-bytes": WAITING_BYTES, "x-overflow": "drop-head"}
        queue = await self._link.call(
            self._hearing.declare_queue(self._name, exclusive=True, auto_delete=True, arguments=bounds)
        )
        await self._link.call(queue.bind(EXCHANGE))

    async def listen(self) -> None:
        """From now on everything is heard; what was rung before, perhaps not."""
        self._listener.missed()
        await self._link.consume(self._hearing, self._name, self._take)

    async def ring(self) -> None:
        while True:
            await self._send(await self._line.take(), "news")

    async def echo(self) -> None:
        """Counted, not timed: a node that stood still itself must not blame the broker. Raises `Broken`."""
        while self._missing < ECHOES:
            self._missing += 1
            await self._send(b"", "echo")
            await asyncio.sleep(ECHO_EVERY)
            await self._link.outlast_alarm()
        raise Broken(f"nothing has come back for {ECHOES * ECHO_EVERY:g} s")

    async def _send(self, body: bytes, kind: str) -> None:
        message = Message(body, type=kind, app_id=self._name, delivery_mode=DeliveryMode.NOT_PERSISTENT)
        await self._link.send(self._exchange.publish(message, "", mandatory=False))

    async def _take(self, message: DeliveredMessage, wire: Wire) -> None:
        tag = message.delivery_tag or 0
        self._hear(message)
        if tag % ACKNOWLEDGED == 0:
            await wire.basic_ack(tag, multiple=True, wait=False)

    def _hear(self, message: DeliveredMessage) -> None:
        if message.redelivered:
            self._listener.missed()
        properties = message.header.properties
        if properties.message_type == "news":
            self._listener.hear(message.body)
        if properties.app_id == self._name:
            self._missing = 0
            self._on_return()
