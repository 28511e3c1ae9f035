"""A limit holds against what cannot be cancelled; who is cancelled and who was not are told apart."""

import asyncio
import gc
from contextlib import suppress
from typing import Any

import pytest

from chat.infra.within import within


class Stubborn:
    """Goes on when it is cancelled, until it is let go."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.free = asyncio.Event()

    async def work(self, error: Exception | None = None) -> str:
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        if error:
            raise error
        return "done"


async def never() -> None:
    await asyncio.Event().wait()


async def test_what_ends_in_time_returns_its_result() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await within(5, work()) == "done"


async def test_what_breaks_in_time_raises_its_own_error() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        await within(5, work())


async def test_what_takes_too_long_is_cancelled_and_told_by_a_timeout() -> None:
    task = asyncio.ensure_future(never())
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        await within(0.01, task)
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_what_cannot_be_cancelled_is_not_waited_for() -> None:
    stubborn = Stubborn()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(within(0.01, stubborn.work()), 5)
    await asyncio.sleep(0)
    assert stubborn.cancelled == 1
    stubborn.free.set()


async def test_a_cancellation_from_inside_is_a_lost_connection() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionError):
        await within(5, work())


async def test_who_is_cancelled_cancels_the_work_and_goes_without_it() -> None:
    stubborn = Stubborn()
    waiting = asyncio.create_task(within(60, stubborn.work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()
    await asyncio.sleep(0)
    assert stubborn.cancelled == 1
    stubborn.free.set()


async def test_nobody_complains_of_what_the_work_left_behind_raises() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    stubborn = Stubborn()
    with pytest.raises(TimeoutError):
        await within(0.01, stubborn.work(OSError("late")))
    stubborn.free.set()
    for _ in range(4):
        await asyncio.sleep(0)
    gc.collect()
    assert not complaints
