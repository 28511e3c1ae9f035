"""The broker of a node that is alone: there is nobody to tell."""

import asyncio
from collections.abc import Sequence
from typing import Any

from chat.domain.programs import Publication


class LocalBroker:
    """Satisfies `chat.application.ports.Broker`."""

    is_away = False

    async def run(self, listener: Any) -> None:
        await asyncio.Event().wait()

    def ring(self, news: bytes) -> None:
        """Nobody else reads the log."""

    async def publish(self, publications: Sequence[Publication]) -> int:
        return len(publications)
