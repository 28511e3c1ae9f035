"""A store that fails at one step of a turn, and leaves whoever asked in doubt about what became of it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from chat.application.ports import Store
from chat.domain.errors import Poisoned, Unavailable
from chat.domain.log import Begun, Loaded, LogRow, Writes

STEPS: Final = (
    "before begin",
    "after begin",
    "before load_locked",
    "after load_locked",
    "before read_about",
    "after read_about",
    "before commit",
    "after commit",
)

Step = Callable[[str], Awaitable[None]]


async def go_on(_: str) -> None:
    """Nothing happens at this step."""


class Failing:
    """Does what the store does. `step` is awaited at each of the STEPS, and may raise; what was begun is lost then, as
    it is when the connection to a database breaks, and what was committed is not."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.step: Step = go_on
        self.has_failed = False
        self.poison: bytes | None = None  # an event that holds it cannot be stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def fail_at(self, step: str, times: int = 1) -> None:
        """Raises `Unavailable` the next so many times."""
        left = times
        self.has_failed = False

        async def fail(reached: str) -> None:
            nonlocal left
            if reached == step and left:
                left -= 1
                self.has_failed = True
                raise Unavailable(f"lost {step}")

        self.step = fail

    async def _reach(self, step: str) -> None:
        try:
            await self.step(step)
        except BaseException:
            await self.store.abandon()
            raise

    async def begin(self, after: int, asked: Sequence[tuple[str, str]], keys: Sequence[str]) -> Begun:
        await self.step("before begin")
        begun = await self.store.begin(after, asked, keys)
        await self._reach("after begin")
        return begun

    async def load_locked(self, keys: Sequence[str]) -> Loaded:
        await self._reach("before load_locked")
        loaded = await self.store.load_locked(keys)
        await self._reach("after load_locked")
        return loaded

    async def read_about(self, names: Sequence[str]) -> list[LogRow]:
        await self._reach("before read_about")
        rows = await self.store.read_about(names)
        await self._reach("after read_about")
        return rows

    async def commit(self, writes: Writes) -> None:
        await self._reach("before commit")
        if self.poison and any(self.poison in row.event for row in writes.log):
            await self.store.abandon()
            raise Poisoned("this cannot be stored")
        await self.store.commit(writes)
        await self.step("after commit")
