"""One connection to SQLite and the one thread that it lives on.

SQLite's errors end here, and the system's. What SQLite rejects for its content is `Poisoned`; a full disk, or a file
that another program has locked, is `Unavailable`: the transaction is rolled back and the connection stays. Anything
else (a failed write or fsync, damage) is `Unavailable` too, but nothing may be acknowledged on that connection any
more, so it is closed, and the next piece of work gets a new one.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from chat.domain.errors import Poisoned, Unavailable, Unusable

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
PASSING: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}
WAITING: Final = 1_000  # pieces of work
HURRY: Final = 0.05  # seconds

Order = tuple[Callable[[], Any], asyncio.Future[Any]]  # a piece of work, and who waits for what comes of it


class Session:
    """Takes one piece of work after the other. `connect` is called on the thread, at the first and after trouble."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._name = name
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._orders: SimpleQueue[Order | None] | None = None  # None is the last one
        self._waiting = 0
        self._has_worked = False

    def open(self) -> None:
        self._orders = SimpleQueue()
        Thread(target=_carry_out, args=(self._orders,), name=self._name, daemon=True).start()

    async def run(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Cancelled, it is gone at once; the thread goes on to the end of the work and drops what came of it. Raises
        `Unavailable` when too much is waiting."""
        if self._waiting >= WAITING:
            raise Unavailable("too much is waiting")
        return await self._submit(partial(self._guarded, partial(work, **kwargs), *args))

    async def finish(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Cancelled, it is gone only when the work has ended: nobody meets a connection in the middle of a turn."""
        return await _ended(self._submit(partial(self._guarded, partial(work, **kwargs), *args)))

    async def roll_back(self) -> None:
        """Never fails."""
        if self._orders:
            await _ended(self._submit(self._roll_back))

    async def close(self, *, at_once: bool = False) -> None:
        """Everything handed in before is done first or, `at_once`, ends as `Unavailable`."""
        if self._orders:
            running, orders = self._submit(self._drop), self._orders
            self._orders = None
            orders.put(None)
            if at_once:
                self._hurry(running)
            await _ended(running)

    def _hurry(self, running: asyncio.Future[None]) -> None:
        """Again and again: SQLite forgets an interrupt that comes before the statement that it was meant for."""
        if not running.done():
            if self._connection:
                with suppress(sqlite3.Error):  # it is closed just now
                    self._connection.interrupt()
            asyncio.get_running_loop().call_later(HURRY, self._hurry, running)

    def _submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if not self._orders:
            raise Unavailable("the store is not open, or for reading only")
        running: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.put((work, running))
        self._waiting += 1
        running.add_done_callback(self._ended)
        return running

    def _ended(self, _: asyncio.Future[T]) -> None:
        self._waiting -= 1

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        try:
            done = work(self._connected(), *args)
        except CONTENT as error:
            self._roll_back()
            raise Poisoned(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING:
                self._roll_back()
            else:
                self._drop()
            raise Unavailable(str(error)) from error
        except BaseException:
            self._roll_back()
            raise
        self._has_worked = True
        return done

    def _connected(self) -> sqlite3.Connection:
        try:
            self._connection = self._connection or self._connect()
        except Unusable as error:
            if self._has_worked:  # the file has become so since: nobody waits at the start to be told
                raise Unavailable(str(error)) from error
            raise
        return self._connection

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


def _carry_out(orders: SimpleQueue[Order | None]) -> None:
    """The thread. What nobody waits for any more is not begun. An executor would do, and take a quarter more of the
    processor's time to hand over, two or three times for each turn.
    """
    while order := orders.get():
        work, running = order
        if running.cancelled():
            continue
        done, error = None, None
        try:
            done = work()
        except BaseException as broken:
            error = broken
        with suppress(RuntimeError):  # nobody waits when the loop is closed
            running.get_loop().call_soon_threadsafe(_tell, running, done, error)
        del order, work, running, done, error  # not until the next one comes


def _tell(running: asyncio.Future[T], done: T, error: BaseException | None) -> None:
    if running.cancelled():
        return
    if error is None:
        running.set_result(done)
    else:
        running.set_exception(error)


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
