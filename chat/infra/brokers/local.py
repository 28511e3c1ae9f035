"""The broker of a node that is alone, or of several in one process that share an exchange: there is none but them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog

from chat.domain.programs import Publication
from chat.infra.brokers.line import Line
from chat.infra.brokers.listener import Listener

log = structlog.get_logger("chat")

WAITING: Final = 1_000  # news that a node has not heard yet


class Exchange:
    """Hands what is rung to every node that runs."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def join(self) -> Line:
        self._lines.append(Line(WAITING))
        return self._lines[-1]

    def leave(self, line: Line) -> None:
        self._lines.remove(line)

    @property
    def is_empty(self) -> bool:
        return not self._lines

    def ring(self, news: bytes) -> None:
        for line in self._lines:
            line.put(news)


class LocalBroker:
    """Satisfies `chat.application.ports.Broker`."""

    is_away = False

    def __init__(self, exchange: Exchange | None = None) -> None:
        self._exchange = exchange or Exchange()
        self.dropped: Counter[str] = Counter()  # nothing, before it is handed on

    @property
    def is_heard(self) -> bool:
        return not self._exchange.is_empty

    async def run(self, listener: Listener) -> None:
        line = self._exchange.join()
        try:
            listener.missed()
            while True:
                _tell(listener, await line.take())
                await asyncio.sleep(0)  # the others are told in turn
        finally:
            self._exchange.leave(line)

    def ring(self, news: bytes) -> None:
        self._exchange.ring(news)

    async def publish(self, publications: Sequence[Publication]) -> int:
        return len(publications)


def _tell(listener: Listener, news: bytes) -> None:
    try:
        listener.hear(news)
    except Exception:
        log.exception("news broke the node")
        listener.missed()
