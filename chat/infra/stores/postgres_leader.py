"""Which node publishes: the one whose session has a lock. With the session it loses the lock, and the server ends a
session that has not asked for 5 s: a node that is stopped leads no more when it goes on, and is told so.
"""

from asyncpg import Connection

from chat.domain.errors import Unavailable
from chat.infra.stores import postgres_statements as say


class Leader:
    """Knows the connection that has the lock, if there is one."""

    def __init__(self) -> None:
        self._leading: Connection | None = None

    @property
    def leads(self) -> bool:
        return self._leading is not None

    async def lead(self, connection: Connection) -> int | None:
        """The lock first: what was published is read when nobody else can move it."""
        [[leads]] = await connection.fetch(say.TRY_TO_LEAD)
        self._leading = connection if leads else None
        if not leads:
            return None
        [[position]] = await connection.fetch(say.PUBLISHED)
        return int(position)

    async def mark_published(self, connection: Connection, position: int) -> None:
        if connection is not self._leading:
            raise Unavailable("this node does not lead any more")
        await connection.execute(say.MARK_PUBLISHED, position, position)

    async def resign(self, connection: Connection) -> None:
        self._leading = None
        await connection.execute(say.RESIGN)
