"""The server as a node sees it: how sessions with it are made, and in words for people, why that cannot be."""

import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg import Connection
from asyncpg.connect_utils import SessionAttribute

from chat.domain.errors import Unusable
from chat.infra.stores import postgres_statements as say
from chat.infra.within import within

CONNECTING: Final = 2.0  # seconds
NO_URL: Final = "This is no URL of a PostgreSQL database, such as postgresql://user:password@host/database."
STATEMENTS: Final = 100  # that stay prepared in a session; 0 for a pooler that gives each transaction another one
SERVER_GONE: Final = 3_000  # milliseconds without a sign of life from the other machine

# What is asked at the beginning: a pooler refuses any other there.
NAMED: Final = {"application_name": "chat", "client_encoding": "UTF8"}
# The planner is told what it cannot know of a table that grows: every row is met through an index, one by one.
SESSION: Final = {
    "default_transaction_isolation": "read committed",  # who has the lock sees what the one before it wrote
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "tcp_user_timeout": str(SERVER_GONE),
}
# A node that was stopped loses the lock, and who waits for it gives up.
WRITER: Final = {
    "synchronous_commit": "on",
    "plan_cache_mode": "force_generic_plan",
    "idle_in_transaction_session_timeout": "1500",
    "lock_timeout": "2000",
    "statement_timeout": "2000",
}
LEADER: Final = {**WRITER, "idle_session_timeout": "5000"}
READER: Final = {
    "default_transaction_read_only": "on",
    "plan_cache_mode": "force_generic_plan",
    "idle_in_transaction_session_timeout": "1500",
    "lock_timeout": "2000",
    "statement_timeout": "2000",
}
SEARCHER: Final = {**READER, "plan_cache_mode": "force_custom_plan", "statement_timeout": "10000"}
KEEPER: Final = {"default_transaction_read_only": "on", "lock_timeout": "2000"}


class Database:
    """Where it is, and how sessions with it are made."""

    def __init__(self, url: str) -> None:
        self._url, self._statements = without_cache_size(url)
        self._wanted = SessionAttribute.primary if is_of_several(self._url) else None

    @property
    def name(self) -> str:
        """Without the password."""
        parts = urlsplit(self._url)
        return f"{parts.path.lstrip('/') or 'the database'} at {parts.hostname or 'this machine'}"

    async def connect(self, settings: Mapping[str, str]) -> Connection:
        try:
            return await within(CONNECTING, self._connected({**SESSION, **settings}))
        except (ValueError, asyncpg.ClientConfigurationError):
            raise Unusable(NO_URL) from None  # they quote it, and the password with it

    async def _connected(self, settings: Mapping[str, str]) -> Connection:
        connection = await asyncpg.connect(
            self._url,
            connection_class=Patient,
            server_settings=NAMED,
            statement_cache_size=self._statements,
            target_session_attrs=self._wanted,
        )
        try:
            await connection.execute("".join(f"SET {name} = '{value}';" for name, value in settings.items()))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def connect_writer(self) -> Connection:
        """It says that this node serves, for as long as it lasts."""
        connection = await self.connect(WRITER)
        try:
            [[serves]] = await connection.fetch(f"SELECT pg_try_advisory_lock_shared({say.SERVING})")
        except BaseException:
            connection.terminate()
            raise
        if not serves:
            connection.terminate()
            raise Unusable(f"{self.name} is being rebuilt: wait until that is done.")
        return connection

    def sentence(self, error: BaseException) -> str:
        """Why it cannot be opened, for people."""
        match error:
            case asyncpg.InvalidAuthorizationSpecificationError():
                return f"{self.name} does not let this user in: check the user and the password."
            case asyncpg.InvalidCatalogNameError():
                return f"{self.name} does not exist: create it first (`createdb`)."
            case asyncpg.InsufficientPrivilegeError():
                return f"{self.name} does not let this user make tables: make it the owner of the database."
            case asyncpg.ReadOnlySQLTransactionError():
                return f"{self.name} takes no writes: it is read-only."
            case asyncpg.CannotConnectNowError() | asyncpg.TooManyConnectionsError():
                return f"{self.name} takes no connection now: {error.args[0]}."
            case asyncpg.TargetServerAttributeNotMatched():
                return f"{self.name} takes no writes: none of its hosts is the primary."
            case OSError():
                return f"{self.name} cannot be reached: is the server running, and are host and port right?"
        return f"{self.name} cannot be opened: {error.args[0] if error.args else error}."


class Patient(Connection):
    """Its socket gives up on a machine that is gone."""

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        found = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and found.family in (socket.AF_INET, socket.AF_INET6):
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SERVER_GONE)


def without_cache_size(url: str) -> tuple[str, int]:
    """The library takes this one as an argument."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unusable(NO_URL) from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    size = query.pop("statement_cache_size", None)
    if size is None:
        return url, STATEMENTS
    if not size.isdecimal():
        raise Unusable("statement_cache_size in the URL has to be a number, such as 0.")
    return urlunsplit(parts._replace(query=urlencode(query))), int(size)


def is_of_several(url: str) -> bool:
    """Hosts, of which it does not say which one it wants."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return "," in parts.netloc.rpartition("@")[2] + query.get("host", "") and "target_session_attrs" not in query
