"""What is in the database, and how an older schema becomes a newer one.

The MIGRATIONS make a new one; `schema_version` counts those that it has seen. Nodes that start together take their
turns at that, with the writer's lock.
"""

from typing import Final

from asyncpg import Connection

from chat.domain.errors import Unusable
from chat.infra.stores import postgres_statements as say

OLDEST: Final = 14

# Text is compared byte by byte, as the other stores do. `answered` has the id first: ids that sort by time then go to
# one end of it. Of what changes often, a page keeps some room for the next version of a row. Words go to their places
# in the index at once: gathered first, a turn now and then would have to file those of many.
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


async def prepare(connection: Connection, name: str, epoch: str, form: int, create: bool) -> None:
    """Make what a new database needs, and bring an older one up to date."""
    check_server(connection)
    await connection.execute(f"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; {say.LOCK}")
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
    check_server(connection)
    if await read_version(connection, name) < len(MIGRATIONS):
        raise Unusable(f"{name} is of an older version, or has no chat in it: start the chat on it once.")
    await check_format(connection, name, form)


def check_server(connection: Connection) -> None:
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
