"""Listeners that remember, brokers that run for a while, and another program that writes letters."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue

from chat.application.ports import Broker
from chat.domain.programs import Letter, Publication, Reply

WITHIN: Final = 30.0  # seconds that anything may take before a test gives up on it
MISSED: Final = "missed"
COMMANDS: Final = "chat.commands"
DEAD: Final = "chat.commands.dead"


class Remembering:
    """A listener that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[str | bytes] = []
        self.letters: list[Letter] = []
        self.breaks_at = b""  # news that it cannot bear
        self.reply: Callable[[Letter], Awaitable[Reply]] = accept

    @property
    def heard(self) -> list[bytes]:
        return [news for news in self.told if isinstance(news, bytes)]

    @property
    def missed_times(self) -> int:
        return self.told.count(MISSED)

    def missed(self) -> None:
        self.told.append(MISSED)

    def hear(self, news: bytes) -> None:
        assert type(news) is bytes
        if self.breaks_at and news == self.breaks_at:
            raise KeyError("words that somebody wrote")
        self.told.append(news)

    async def carry_out(self, letter: Letter) -> Reply:
        self.letters.append(letter)
        return await self.reply(letter)


async def accept(letter: Letter) -> Reply:
    return Reply(b'{"type":"ack","of":' + letter.frame + b"}")


async def refuse(letter: Letter) -> Reply:
    return Reply(b'{"type":"refused","code":"malformed"}', readable=False)


async def never(letter: Letter) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def until(holds: Callable[[], Any], what: str, within: float = WITHIN) -> float:
    """Wait until a condition holds, and say for how long."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"waited {within:g} s for {what}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@asynccontextmanager
async def running(broker: Broker, listener: Remembering, *, present: bool = True) -> AsyncIterator[None]:
    """It ends when it is cancelled, soon, and by that alone."""
    task = asyncio.create_task(broker.run(listener))
    try:
        if present:
            await until(lambda: listener.told and not broker.is_away, "the broker to be there")
        yield
    finally:
        assert not task.done(), "the broker ended by itself"
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()


async def heard_by(listener: Remembering, news: bytes, broker: Broker) -> None:
    """Ring until it is heard: what is rung in the moment of a loss is lost."""

    def rung() -> bool:
        broker.ring(news)
        return news in listener.heard

    await until(rung, f"{news!r} to be heard")


def publications(count: int, first: int = 1, body: bytes = b'{"type":"message_sent"}') -> list[Publication]:
    return [
        Publication("message_sent.r1", "message_sent", f"r1:{number}", number, body)
        for number in range(first, first + count)
    ]


class Program:
    """Another program: it writes letters and has a queue for the answers."""

    def __init__(self, channel: AbstractChannel, bare: AbstractChannel, answers: AbstractQueue) -> None:
        self.channel = channel
        self.bare = bare  # without confirms
        self.answers = answers

    async def write(self, frame: bytes, **properties: Any) -> None:
        properties = {"reply_to": self.answers.name, "correlation_id": "1"} | properties
        await self.channel.default_exchange.publish(aio_pika.Message(frame, **properties), COMMANDS, timeout=WITHIN)

    async def answered(self, count: int = 1) -> list[tuple[str | None, bytes]]:
        """The correlation ids and bodies of so many answers."""
        found = []
        async with asyncio.timeout(WITHIN):
            async with self.answers.iterator() as answers:
                async for answer in answers:
                    await answer.ack()
                    found.append((answer.correlation_id, answer.body))
                    if len(found) == count:
                        break
        return found

    async def count(self, queue: str) -> int:
        """How many messages wait in it."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def counts(self, queue: str, count: int) -> None:
        async with asyncio.timeout(WITHIN):
            while await self.count(queue) != count:  # noqa: ASYNC110 (the broker tells nobody)
                await asyncio.sleep(0.05)

    async def subscribe(self, key: str = "#") -> AbstractQueue:
        queue = await self.channel.declare_queue(exclusive=True)
        await queue.bind("chat.events", key)
        return queue


async def taken(queue: AbstractQueue, count: int) -> Sequence[aio_pika.abc.AbstractIncomingMessage]:
    """So many messages, acknowledged."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with asyncio.timeout(WITHIN), queue.iterator(no_ack=True) as messages:
        async for message in messages:
            found.append(message)
            if len(found) == count:
                break
    return found


@asynccontextmanager
async def program(url: str) -> AsyncIterator[Program]:
    connection = await aio_pika.connect(url)
    try:
        channel = await connection.channel()
        bare = await connection.channel(publisher_confirms=False)
        yield Program(channel, bare, await channel.declare_queue(exclusive=True))
    finally:
        with suppress(Exception):
            async with asyncio.timeout(5):
                await connection.close()
