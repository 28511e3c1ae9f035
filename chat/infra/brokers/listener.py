"""Whom a broker tells: the `Listener` of `chat.application.ports`, which infra does not know."""

from typing import Protocol

from chat.domain.programs import Letter, Reply


class Listener(Protocol):
    def missed(self) -> None: ...

    def hear(self, news: bytes) -> None: ...

    async def carry_out(self, letter: Letter) -> Reply: ...
