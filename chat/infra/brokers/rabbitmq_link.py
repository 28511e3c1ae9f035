"""One connection to RabbitMQ: it stands, or it is broken and all of it is thrown away.

Nothing of it is mended. The connection, a channel, a consumer: whichever goes first, `lasts` says so. Every call has a
limit, and so has the farewell: a frozen broker answers none, and what the library waits for is cut off at the socket.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar, cast

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as Wire
from aiormq.abc import DeliveredMessage
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import AMQPError, InvalidFrameError
from yarl import URL

from chat.infra.brokers.rabbitmq_frames import LenientReader
from chat.infra.within import within

T = TypeVar("T")

CALL: Final = 2.0  # seconds that any call may take
FAREWELL: Final = 1.0
HEARTBEAT: Final = "10"  # seconds

EXPECTED: Final = (OSError, AMQPError)  # what a broker and the way to it may come to; all else is a bug

# They tell every try, with its trace. Here one line is told when the broker goes, and one when it is back.
for library in "aiormq", "aio_pika":
    logging.getLogger(library).setLevel(logging.CRITICAL)


class Broken(ConnectionError):
    """Of the connection, whatever it was."""


class Refused(Broken):
    """For an operator to mend."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the virtual host {host} is not there, is full, or is closed to this user")


class Sockets(TransportFactory):
    """Makes the socket as the library does, and keeps it, to be cut."""

    def __init__(self, *, encrypted: bool) -> None:
        self._factory = TLSTransportFactory() if encrypted else TCPTransportFactory()
        self._writers: list[asyncio.StreamWriter] = []

    async def create(self, url: URL, **given: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._factory.create(url, **given)
        self._writers.append(writer)
        return cast(asyncio.StreamReader, LenientReader(reader)), writer

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Link:
    """What is asked of the broker goes through `call`, and what is told to it through `send`."""

    def __init__(self, url: URL, on_alarm: Callable[[], None]) -> None:
        self._on_alarm = on_alarm
        self._connection = aio_pika.Connection(url.update_query(heartbeat=HEARTBEAT, name="chat"))
        self._sockets = Sockets(encrypted=url.scheme == "amqps")
        self._connection.kwargs["transport_factory"] = self._sockets
        self._channels: list[AbstractChannel] = []  # the connection itself holds them weakly
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_broken(self) -> bool:
        return self._broken.done()

    def lose(self, error: Exception) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # seen, even if nobody waits for it any more

    def _loses(self, what: str) -> Callable[[Any, BaseException | None], None]:
        return lambda _, error: self.lose(Broken(f"{what}: {told(error)}"))

    async def lasts(self) -> None:
        """For as long as it stands. Raises what broke it."""
        await asyncio.shield(self._broken)

    async def open(self) -> None:
        try:
            await self.call(self._connection.connect())
        except InvalidFrameError as error:  # the library does not say what came instead of being let in
            raise Refused(self._connection.url.path) from error
        self._connection.close_callbacks.add(self._loses("the connection was closed"))

    async def close(self) -> None:
        """Say farewell, then cut the socket. Takes two seconds at most, and raises nothing."""
        self.lose(Broken("closed"))
        with suppress(Exception):
            await within(FAREWELL, self._connection.close())
        self._sockets.cut()
        with suppress(Exception):
            await within(FAREWELL, self._connection.close())

    async def call(self, work: Awaitable[T]) -> T:
        """Raises what it raises, and `TimeoutError`."""
        return await within(CALL, work)

    async def channel(self, *, confirms: bool = False, prefetch: int = 0) -> AbstractChannel:
        channel: AbstractChannel = self._connection.channel(publisher_confirms=confirms)
        self._channels.append(channel)
        channel.close_callbacks.add(self._loses("a channel was closed"))
        await self.call(channel.initialize())
        if prefetch:
            await self.call(channel.set_qos(prefetch))
        return channel

    async def consume(
        self, channel: AbstractChannel, queue: str, hear: Callable[[DeliveredMessage, Wire], Awaitable[None]]
    ) -> None:
        """Each delivery is a task, begun in their order: what `hear` does before it waits is done in order too."""
        wire = await channel.get_underlay_channel()

        async def take(message: DeliveredMessage) -> None:
            if self.is_broken:
                return
            try:
                await hear(message, wire)
            except Exception as error:
                self.lose(error)

        wire.on_consumer_cancel_callbacks.add(lambda _: self.lose(Broken(f"the broker ended the consumer of {queue}")))
        await self.call(wire.basic_consume(queue, take))

    async def send(self, work: Awaitable[T]) -> T:
        """Like `call`. But a broker that takes nothing because of an alarm does not take a farewell either, and each
        new connection would be one more that it keeps: so wait for the end of the alarm, which is the end of this
        connection as well."""
        try:
            return await self.call(work)
        except TimeoutError:
            await self.outlast_alarm()
            raise

    async def outlast_alarm(self) -> None:
        """Raises `Broken` when there was one."""
        if await self._is_blocked():
            self._on_alarm()
            await self._is_ready()
            raise Broken("an alarm of the broker, which has passed")

    async def _is_blocked(self) -> bool:
        """The broker has said so."""
        try:
            async with asyncio.timeout(0.01):
                await self._is_ready()
        except TimeoutError:
            return True
        return False

    async def _is_ready(self) -> None:
        if self._connection.transport is None:
            raise Broken("the connection is closed")
        await self._connection.transport.ready()


@asynccontextmanager
async def linked(url: URL, on_alarm: Callable[[], None]) -> AsyncIterator[Link]:
    """Open, and closed behind. `on_alarm` is told when the broker takes nothing because of an alarm."""
    link = Link(url, on_alarm)
    try:
        await link.open()
        yield link
    finally:
        await link.close()


def told(error: BaseException | None) -> str:
    """Why, in the broker's or the system's own words; of anything else the words may quote what somebody wrote."""
    error = first_of(error)
    words = " ".join(str(part) for part in error.args if part) if isinstance(error, EXPECTED) else ""
    return words or type(error).__name__


def first_of(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
