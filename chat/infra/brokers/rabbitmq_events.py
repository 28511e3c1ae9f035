"""The stream of public events for other programs, by a topic exchange: persistent, in order, each confirmed."""

import asyncio
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, ExchangeType

from chat.domain.programs import Publication
from chat.infra.brokers.rabbitmq_link import CALL, FAREWELL, Link

EXCHANGE: Final = "chat.events"


class Events:
    """Those of one connection, on a channel of their own."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._exchange: AbstractExchange

    async def open(self) -> None:
        channel = await self._link.channel(confirms=True)
        self._exchange = await self._link.call(channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True))

    async def publish(self, publications: Sequence[Publication]) -> int:
        """How many were confirmed, up to the first that was not."""
        sending = [asyncio.create_task(self._publish(each)) for each in publications]
        try:
            await asyncio.wait(sending, timeout=CALL)
        finally:
            for task in sending:
                task.cancel()
        await asyncio.wait(sending, timeout=FAREWELL)
        confirmed = [_is_well(task) for task in sending]
        return sum(takewhile(bool, confirmed))

    async def _publish(self, publication: Publication) -> None:
        message = Message(
            publication.body,
            content_type="application/json",
            type=publication.type,
            message_id=publication.message_id,
            headers={"position": publication.position},
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        await self._exchange.publish(message, publication.routing_key, mandatory=False)


def _is_well(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
