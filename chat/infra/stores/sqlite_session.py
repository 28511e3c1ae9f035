"""One connection to SQLite and the one thread that it lives on.

SQLite's errors end here. What it rejects for its content is `Poisoned`: the transaction is rolled back and the
connection stays. Anything else (a full disk, a failed write or fsync) is `Unavailable`: nothing may be acknowledged
on that connection any more, so it is closed, and the next piece of work gets a new one.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from chat.domain.errors import Poisoned, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]

# The last two are Python's own: an integer over 64 bits, a lone surrogate.
CONTENT = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class Session:
    """Takes one piece of work after the other. `connect` is called on the thread, at the first and after trouble."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._name = name
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)

    async def run(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Cancelled, it is gone at once; the thread goes on to the end of the work and drops what came of it."""
        return await self._submit(partial(self._guarded, partial(work, **kwargs), *args))

    async def finish(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Cancelled, it is gone only when the work has ended: nobody meets a connection in the middle of a turn."""
        return await _ended(self._submit(partial(self._guarded, partial(work, **kwargs), *args)))

    async def roll_back(self) -> None:
        """Never fails."""
        if self._thread:
            await _ended(self._submit(self._roll_back))

    async def close(self) -> None:
        """Everything handed in before is done first."""
        if self._thread:
            running, thread = self._submit(self._drop), self._thread
            self._thread = None
            thread.shutdown(wait=False)
            await _ended(running)

    def _submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if not self._thread:
            raise Unavailable("the store is not open, or for reading only")
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection, *args)
        except CONTENT as error:
            self._roll_back()
            raise Poisoned(str(error)) from error
        except sqlite3.Error as error:
            self._drop()
            raise Unavailable(str(error)) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop()

    def _drop(self) -> None:
        """Closing rolls back."""
        connection, self._connection = self._connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()


async def _ended(running: asyncio.Future[T]) -> T:
    """Wait to the end, and only then be cancelled."""
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # is looked at, or asyncio complains
        raise
