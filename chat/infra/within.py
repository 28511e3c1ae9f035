"""A limit that also holds against a server that is frozen.

`asyncio.timeout` waits until what it cancelled has come to its end, and what talks to a frozen server may never do so:
it asks the server to cancel, or waits for a farewell. Here the work is a task of its own, and is left behind.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """What the work returns or raises. Raises `TimeoutError` when it takes longer; it is cancelled then, and not waited
    for. Raises `ConnectionError` when the work was cancelled from inside, which nobody asked for."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not task.done():
        _leave(task)
        raise TimeoutError(f"no answer within {seconds:g} s")
    if task.cancelled():
        raise ConnectionError("broken off")
    return task.result()


def _leave(task: asyncio.Future[T]) -> None:
    task.cancel()
    task.add_done_callback(_look_at)


def _look_at(task: asyncio.Future[T]) -> None:
    """Or asyncio complains of an exception that nobody has seen."""
    if not task.cancelled():
        task.exception()
