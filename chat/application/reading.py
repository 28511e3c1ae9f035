"""Questions, answered beside turns: on the states at hand where they are, else on the store's.

What is missing is loaded. It enters the cache once the cursor is where the load was, with what was told meanwhile
folded in: so all the states that one answer is made of are of one moment, the cursor's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from chat.application.cache import Cache
from chat.application.cursor import Cursor
from chat.application.lasting import Each, Lasting
from chat.application.ports import Clock, Store
from chat.application.turnstile import Turnstile
from chat.domain.errors import Refused, Unavailable
from chat.domain.log import Rows
from chat.domain.vocabulary import Query
from chat.logic.find import Find
from chat.logic.mediator import Context, Draft, Missing, Tables, answer

ROUNDS: Final = 8
AT_ONCE: Final = 16  # descriptions of rows that the store is given

T = TypeVar("T")


class Reading:
    def __init__(
        self,
        tables: Tables,
        cache: Cache,
        cursor: Cursor,
        store: Store,
        clock: Clock,
        policy: Callable[[], dict[str, Any]],
    ) -> None:
        self._tables = tables
        self._cache = cache
        self._cursor = cursor
        self._store = store
        self._clock = clock
        self._policy = policy
        self._turns = Turnstile()
        self._lasting = Lasting(self._read)

    def context(self, actor: str = "", session: str = "") -> Context:
        return Context(
            states=Draft(self._cache),
            actor=actor,
            session=session,
            now=self._clock.now(),
            position=self._cursor.position,
            **self._policy(),
        )

    async def consult(self, look: Callable[[Context], T], actor: str = "", session: str = "") -> T:
        """What the pure `look` makes of the states; it is tried again when one is missing.

        Nothing happens between the try that succeeds and the return. Raises what `look` raises, or `Refused`
        `unavailable` when the store does not answer.
        """
        try:
            for _ in range(ROUNDS):
                try:
                    return look(self.context(actor, session))
                except Missing as missing:
                    await self._load(missing.keys)
        finally:
            self._cache.trim()
        raise Refused("unavailable", retry_after=1.0)

    async def _load(self, keys: tuple[str, ...]) -> None:
        before, jumps = self._cursor.position, self._cursor.jumps
        with self._cursor.meanwhile() as since:
            try:
                loaded = await self._store.load(keys)
                await self._cursor.reach_written(loaded.position)
            except Unavailable:
                raise Refused("unavailable", retry_after=1.0) from None
            # Else the store showed a view so old, or of another history, that nobody knows what it lacks.
            if loaded.position >= before and jumps == self._cursor.jumps:
                self._cache.admit(loaded, since)

    async def answer(self, query: Query, actor: str = "", session: str = "") -> Any:
        """The answer to a query, ready to be encoded. Raises `Refused`."""

        def look(context: Context) -> Any:
            return answer(self._tables, query, context)

        return await self.complete(await self.consult(look, actor, session), actor, session)

    async def complete(self, found: Any, actor: str, session: str) -> Any:
        """What a query handler returned, with its rows read where it asked for some."""
        if not isinstance(found, Find):
            return found
        made = await self._made_of_rows(found, actor)
        return await self.consult(lambda context: found.then(made, context), actor, session)

    async def _made_of_rows(self, find: Find, actor: str) -> list[Any]:
        """A few descriptions at a time, however many there are, and for each account one after the other: whoever asks
        for much waits for it, and not everybody else.
        """
        made: list[Any] = []
        read = partial(self._lasting.get, self._cursor.jumps) if find.lasting else self._read
        async with self._turns.of(actor):
            for start in range(0, len(find.rows), AT_ONCE):
                made += await read(find.each, find.rows[start : start + AT_ONCE])
        return made

    async def _read(self, of_each: Each, rows: Sequence[Rows]) -> list[Any]:
        try:
            return [of_each(found) for found in await self._store.find(rows)]
        except Unavailable:
            raise Refused("unavailable", retry_after=1.0) from None
