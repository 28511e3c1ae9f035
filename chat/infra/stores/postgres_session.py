"""One connection to PostgreSQL, made at the first piece of work and after trouble.

The library's errors end here. What PostgreSQL rejects for its content is `Poisoned`, and the transaction is rolled
back. All else is `Unavailable`: what became of the work is not known, so the connection is dropped, and for a moment
after that the session fails at once.

Every piece of work has a limit, which also holds against a server that is frozen. At most half of it is spent in line:
what comes to its turn has the time that it needs, and a long line is no trouble of the connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg
from asyncpg import Connection

from chat.domain.errors import Poisoned, StoreError, Unavailable, Unusable
from chat.infra.within import within

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], Awaitable[T]]

# The last are Python's own: an integer over 64 bits, a lone surrogate.
CONTENT = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    UnicodeError,
)
TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

WAITING: Final = 1_000  # pieces of work
SHORTEST: Final = 0.2  # seconds of a pause
LONGEST: Final = 1.0
GOODBYE: Final = 1.0  # seconds


class Pause:
    """After trouble; longer each time until something works."""

    def __init__(self) -> None:
        self._length = 0.0
        self._over = 0.0  # by the loop's clock

    @property
    def is_over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._over

    def begin(self) -> None:
        self._length = min(max(2 * self._length, SHORTEST), LONGEST)
        self._over = asyncio.get_running_loop().time() + self._length

    def forget(self) -> None:
        self._length = 0.0


class Session:
    """Takes one piece of work after the other."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._pause = Pause()
        self._connection: Connection | None = None
        self._free = asyncio.Lock()
        self._waiting = 0  # in line
        self._under_way: set[asyncio.Task[Any]] = set()
        self._is_open = False
        self._has_worked = False

    def open(self) -> None:
        self._is_open = True

    async def run(self, seconds: float, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In so many seconds, waiting included. Cancelled, it is gone at once: in line it leaves that, and work that is
        under way goes on to its end, and what comes of it is dropped. Raises `Unavailable` when too much is waiting."""
        until = asyncio.get_running_loop().time() + seconds
        await self._wait_in_line(seconds / 2)
        left = until - asyncio.get_running_loop().time()
        task = self._submit(self._guarded(left, lambda at: work(at, *args, **kwargs)))
        task.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(task)

    async def roll_back(self) -> None:
        """When everything before has ended. Never fails."""
        await asyncio.shield(self._submit(self._roll_back_in_turn()))

    async def close(self) -> None:
        """What is under way ends as `Unavailable`."""
        self._is_open = False
        connection, self._connection = self._connection, None
        if connection:
            try:
                await within(GOODBYE, connection.close())
            except TROUBLE:
                connection.terminate()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _submit(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # is looked at, or asyncio complains

    async def _wait_in_line(self, seconds: float) -> None:
        if self._waiting >= WAITING:
            raise Unavailable("too much is waiting")
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("too much is waiting") from None
        finally:
            self._waiting -= 1

    async def _guarded(self, seconds: float, work: Callable[[Connection], Awaitable[T]]) -> T:
        if not self._is_open:
            raise Unavailable("the store is not open, or for reading only")
        if not self._pause.is_over:
            raise Unavailable("there was trouble a moment ago")
        try:
            done = await within(seconds, self._do(work))
        except CONTENT as error:
            await self._roll_back()
            raise Poisoned(said(error)) from None
        except TROUBLE as error:
            self._drop()
            self._pause.begin()
            raise Unavailable(said(error)) from error
        except StoreError:
            await self._roll_back()
            raise
        except BaseException:
            self._drop()
            raise
        self._pause.forget()
        return done

    async def _do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connected()
        done = await work(self._connection)
        self._has_worked = True
        return done

    async def _connected(self) -> Connection:
        try:
            return await self._connect()
        except Unusable as error:
            if self._has_worked:  # the database has become so since: nobody waits at the start to be told
                raise ConnectionError(str(error)) from error
            raise

    async def _roll_back_in_turn(self) -> None:
        async with self._free:
            await self._roll_back()

    async def _roll_back(self) -> None:
        connection = self._connection
        if connection and not connection.is_closed() and connection.is_in_transaction():
            try:
                await within(GOODBYE, connection.execute("ROLLBACK"))
            except TROUBLE:
                self._drop()

    def _drop(self) -> None:
        """The server rolls back when it notices."""
        connection, self._connection = self._connection, None
        if connection:
            connection.terminate()


def said(error: BaseException) -> str:
    """In one line, without what the rows hold."""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.DataError):
        return str(error.args[0])
    return type(error).__name__ if isinstance(error, CONTENT) else str(error) or type(error).__name__
