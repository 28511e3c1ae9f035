"""RabbitMQ, with aio-pika: the doorbell between nodes, the events for other programs, the commands from them.

A connection is made, used until anything of it breaks, and then made anew after a while. Until something of its own
has come back by it, the broker is away.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog
from aiormq.exceptions import AuthenticationError, ProbableAuthenticationError
from yarl import URL

from chat.domain.programs import Publication
from chat.infra.brokers.line import Line
from chat.infra.brokers.listener import Listener
from chat.infra.brokers.rabbitmq_bells import UNSENT, UNSENT_BYTES, Bells
from chat.infra.brokers.rabbitmq_events import Events
from chat.infra.brokers.rabbitmq_letters import Letters, Misdeclared
from chat.infra.brokers.rabbitmq_link import EXPECTED, Refused, first_of, linked, told

log = structlog.get_logger("chat")

LEAST_WAIT: Final = 0.2  # seconds before another try, twice as many after each that failed
MOST_WAIT: Final = 5.0
LASTING: Final = 10.0  # seconds after which a connection was a good one
TO_MEND: Final = (Misdeclared, Refused, AuthenticationError, ProbableAuthenticationError)


class RabbitBroker:
    """Satisfies `chat.application.ports.Broker`."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self._line: Line | None = None  # of the connection that there is, like the next
        self._events: Events | None = None
        self._is_away = True
        self._told: set[str] = set()  # why, since it is away
        self.dropped: Counter[str] = Counter()  # news that found no room, by the reason

    is_heard = True  # while it is away, what is rung counts as lost

    @property
    def is_away(self) -> bool:
        return self._is_away

    async def run(self, listener: Listener) -> None:
        tries = 1
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._connected(listener)
            except Exception as error:
                self._go_away(error)
            lasted = asyncio.get_running_loop().time() - began
            tries = 1 if lasted > LASTING else min(tries + 1, 5)
            await asyncio.sleep(_pause(tries))

    def ring(self, news: bytes) -> None:
        if self._line is None:
            self.dropped["away"] += 1
        elif gone := self._line.put(news):
            self.dropped["full"] += gone

    async def publish(self, publications: Sequence[Publication]) -> int:
        if self._events is None or not publications:
            return 0
        return await self._events.publish(publications)

    async def _connected(self, listener: Listener) -> None:
        """Until it breaks. Raises whatever broke it."""
        line = Line(UNSENT, UNSENT_BYTES)
        async with linked(self._url, self._sit_out_alarm) as link:
            bells = Bells(link, listener, line, self._come_back)
            letters = Letters(link, listener)
            events = Events(link)
            for part in bells, letters, events:
                await part.open()
            await bells.listen()
            await letters.listen()
            self._line, self._events = line, events
            try:
                await _first_to_break(link.lasts(), bells.ring(), bells.echo(), letters.answer())
            finally:
                self._leave()

    def _leave(self) -> None:
        self._line = self._events = None
        self._is_away = True

    def _come_back(self) -> None:
        if self._is_away and self._line:
            self._is_away = False
            self._told.clear()
            log.info("the broker is back" if self._told else "the broker is there")

    def _sit_out_alarm(self) -> None:
        self._leave()
        self._tell("an alarm: it lacks memory or disk, and takes nothing until that is over")

    def _go_away(self, error: Exception) -> None:
        self._leave()
        first = first_of(error)
        if not isinstance(first, EXPECTED):
            log.error("the connection to the broker broke by a bug", exc_info=error)
        self._tell(told(first), to_mend=isinstance(first, TO_MEND))

    def _tell(self, why: str, *, to_mend: bool = False) -> None:
        """Once, when it goes; and what an operator has to mend once more, by whatever it went first."""
        if not self._told or (to_mend and why not in self._told):
            self._told.add(why)
            log.warning("the broker is away", why=why)


async def _first_to_break(*parts: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


def _pause(tries: int) -> float:
    """Not the same for two nodes, which lost the same broker at once."""
    return random.uniform(LEAST_WAIT, min(MOST_WAIT, LEAST_WAIT * 2.0**tries))  # noqa: S311
