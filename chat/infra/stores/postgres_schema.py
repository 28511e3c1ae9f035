"""What is in the database, how a connection to it is made, and how an older schema becomes a newer one.

The MIGRATIONS make a new one; `schema_version` counts those that it has seen. Nodes that start together take their
turns at that, with the writer's lock.
"""

import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg import Connection

from chat.domain.errors import Unusable
from chat.infra.stores import postgres_statements as say

OLDEST: Final = 14
NO_URL: Final = "This is no URL of a PostgreSQL database, such as postgresql://user:password@host/database."
STATEMENTS: Final = 100  # that stay prepared in a session; 0 for a pooler that gives each transaction another one
SERVER_GONE: Final = 3_000  # milliseconds without a sign of life from the other machine

# Text is compared byte by byte, as the other stores do. `answered` has the id first: ids that sort by time then go to
# one end of it. Of what changes often, a page keeps some room for the next version of a row.
MIGRATIONS: Final = (
    """
    CREATE TABLE schema_version (version integer NOT NULL);
    INSERT INTO schema_version VALUES (0);
    CREATE TABLE log_info (epoch text NOT NULL, format integer NOT NULL);
    CREATE TABLE log (
        position bigint PRIMARY KEY,
        stream text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        about text COLLATE "C",
        event bytea NOT NULL,
        CONSTRAINT place_is_taken UNIQUE (stream, seq)
    );
    CREATE INDEX log_about ON log (about) WHERE about IS NOT NULL;
    CREATE TABLE states (
        key text COLLATE "C" PRIMARY KEY,
        seq bigint NOT NULL,
        format integer NOT NULL,
        state bytea NOT NULL
    ) WITH (fillfactor = 80);
    CREATE TABLE answered (
        actor text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        answer bytea NOT NULL,
        CONSTRAINT was_answered PRIMARY KEY (id, actor)
    );
    CREATE TABLE words (position bigint PRIMARY KEY, held tsvector NOT NULL);
    CREATE INDEX words_held ON words USING gin (held) WITH (fastupdate = off);
    CREATE TABLE listed (
        list text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        label text COLLATE "C" NOT NULL,
        PRIMARY KEY (list, key),
        UNIQUE (list, label, key)
    );
    CREATE TABLE published (position bigint NOT NULL);
    INSERT INTO published VALUES (0);
    """,
)

# The planner is told what it cannot know of a table that grows: every row is met through an index, one by one.
SESSION: Final = {
    "application_name": "chat",
    "client_encoding": "UTF8",
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

    @property
    def name(self) -> str:
        """Without the password."""
        parts = urlsplit(self._url)
        return f"{parts.path.lstrip('/') or 'the database'} at {parts.hostname or 'this machine'}"

    async def connect(self, settings: Mapping[str, str]) -> Connection:
        try:
            return await asyncpg.connect(
                self._url,
                connection_class=Patient,
                server_settings={**SESSION, **settings},
                statement_cache_size=self._statements,
            )
        except (ValueError, asyncpg.ClientConfigurationError):
            raise Unusable(NO_URL) from None  # they quote it, and the password with it

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

    def sentence(self, error: BaseException | None) -> str:
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
            case OSError():
                return f"{self.name} cannot be reached: is the server running, and are host and port right?"
        return f"{self.name} cannot be opened: {error.args[0] if error and error.args else error}."


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


# At the start.


async def prepare(connection: Connection, name: str, epoch: str, form: int, create: bool) -> None:
    """Make what a new database needs, and bring an older one up to date."""
    await connection.execute(
        f"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; {say.BEGIN.partition(';')[2]}"
    )
    version = await read_version(connection, name)
    if not version and not create:
        raise Unusable(f"{name} has no chat in it: start the chat on it once.")
    for migration in MIGRATIONS[version:]:
        await connection.execute(migration)
    await connection.execute("UPDATE schema_version SET version = $1 WHERE version < $1", len(MIGRATIONS))
    await connection.execute("INSERT INTO log_info SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM log_info)", epoch, form)
    await check_format(connection, name, form)
    await connection.execute("UPDATE log_info SET format = $1 WHERE format < $1", form)
    await connection.execute("COMMIT")


async def check(connection: Connection, name: str, form: int) -> None:
    """Change nothing."""
    if await read_version(connection, name) < len(MIGRATIONS):
        raise Unusable(f"{name} is of an older version, or has no chat in it: start the chat on it once.")
    await check_format(connection, name, form)


async def check_server(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise Unusable(f"PostgreSQL {version.major} is too old: {OLDEST} or later is needed.")


async def read_version(connection: Connection, name: str) -> int:
    """0 is of a database in which there is nothing."""
    found = {name for (name,) in await connection.fetch(say.TABLES)}
    if not found:
        return 0
    if not {"schema_version", "log_info"} <= found:
        raise Unusable(f"{name} is the database of another program: use another one.")
    [[version]] = await connection.fetch("SELECT version FROM schema_version")
    if version > len(MIGRATIONS):
        raise Unusable(newer(name, "schema", version, len(MIGRATIONS)))
    return int(version)


async def check_format(connection: Connection, name: str, form: int) -> None:
    [[found]] = await connection.fetch("SELECT format FROM log_info")
    if found > form:
        raise Unusable(newer(name, "format", found, form))


def newer(name: str, what: str, found: int, known: int) -> str:
    return f"{name} was written by a newer version ({what} {found}, this one knows {known}): start that one."
