"""News that wait to be sent or heard. When the line is too long the oldest goes: who hears the next sees the gap."""

import asyncio
import math
from collections import deque


class Line:
    def __init__(self, most: int, most_bytes: float = math.inf) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._news: deque[bytes] = deque()
        self._bytes = 0
        self._some = asyncio.Event()

    def put(self, news: bytes) -> int:
        """How many had to go."""
        self._news.append(news)
        self._bytes += len(news)
        self._some.set()
        gone = 0
        while len(self._news) > self._most or self._bytes > self._most_bytes:
            self._first()
            gone += 1
        return gone

    async def take(self) -> bytes:
        while not self._news:
            self._some.clear()
            await self._some.wait()
        return self._first()

    def _first(self) -> bytes:
        news = self._news.popleft()
        self._bytes -= len(news)
        return news
