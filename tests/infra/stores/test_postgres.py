"""What only the store on a server can do."""

import asyncio
import socket
from typing import Any, Final

import pytest
from asyncpg import Connection

from chat.domain.errors import Poisoned, Unavailable, Unusable
from chat.domain.log import AnswerRow, Listed, ListedRow, LogRow, Range, StateRow, WordsRow, Writes
from chat.infra.stores import postgres_schema as schema
from chat.infra.stores.postgres_session import Session
from tests.infra.stores.databases import opened, refusal, turn
from tests.infra.stores.given import event, everything, filed, say, sent, state, write
from tests.servers.postgres import PASSWORD, QUOTED, Postgres

pytestmark = pytest.mark.requires("postgresql")

SECRET: Final = "told nobody"


async def setting(session: Session, name: str) -> str:
    async def show(connection: Connection) -> str:
        return str((await connection.fetch(f"SHOW {name}"))[0][0])

    return await session.run(5, show)


# Sessions.


async def test_the_writing_session_lets_go_of_the_lock_and_gives_up_waiting(url: str) -> None:
    limits = {
        "idle_in_transaction_session_timeout": "1500ms",
        "lock_timeout": "2s",
        "statement_timeout": "2s",
        "tcp_user_timeout": "3000",
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "enable_seqscan": "off",
        "application_name": "chat",
    }
    async with opened(url) as store:
        assert {name: await setting(store._writer, name) for name in limits} == limits


async def test_a_session_gives_up_on_a_machine_that_is_gone(url: str) -> None:
    async with opened(url) as store:
        connection: Any = store._writer._connection
        option = connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == 3_000


async def test_sessions_that_read_cannot_write(url: str) -> None:
    async with opened(url) as store:
        for session in (store._reader, store._follower, store._finder, store._searcher, store._keeper):
            assert await setting(session, "enable_seqscan") == "off"
            assert await setting(session, "transaction_read_only") == "on"
        with pytest.raises(Unavailable, match="read-only"):
            await store._searcher.run(5, lambda connection: connection.execute("DELETE FROM log"))


async def test_a_search_has_longer_and_maintenance_no_limit_and_a_leader_has_to_ask(url: str) -> None:
    async with opened(url) as store:
        assert await setting(store._reader, "statement_timeout") == "2s"
        assert await setting(store._searcher, "statement_timeout") == "10s"
        assert await setting(store._keeper, "statement_timeout") == "0"
        assert await setting(store._publisher, "idle_session_timeout") == "5s"


async def test_what_was_committed_is_there_for_the_next_who_opens(url: str) -> None:
    async with opened(url) as store:
        await say(store, "hello", "again")
        await write(store, answers=[AnswerRow("a", "1", b"first")], listed=[ListedRow("rooms", "r", "label")])
        before = await everything(store)
    async with opened(url) as store:
        assert await everything(store) == before
        assert (await store.begin(0, [("a", "1")], [])).answered == {("a", "1"): b"first"}


async def test_statements_need_not_stay_prepared(url: str) -> None:
    """For a pooler that gives each transaction another connection."""
    async with opened(f"{url}?statement_cache_size=0&application_name=another") as store:
        await say(store, "hello")
        assert await setting(store._writer, "application_name") == "chat"
        await store.begin(0, [], ["room:r"])
        assert not await store._writer.run(
            5, lambda connection: connection.fetch("SELECT * FROM pg_prepared_statements")
        )
        await store.commit(Writes(log=(sent(2),)))
    assert "statement_cache_size" in await refusal(f"{url}?statement_cache_size=few")


async def test_a_pooler_is_asked_for_nothing_that_it_does_not_know(url: str) -> None:
    """It refuses every other setting at the beginning of a session."""
    async with opened(url) as store:
        for session in (store._writer, store._follower):
            assert await session.run(5, asked_at_the_beginning) <= {"application_name", "client_encoding"}


async def asked_at_the_beginning(connection: Connection) -> set[str]:
    await connection.execute("RESET ALL")
    return {name for (name,) in await connection.fetch("SELECT name FROM pg_settings WHERE source = 'client'")}


# Contents.


@pytest.mark.parametrize(
    "writes",
    [
        Writes(log=(LogRow(1, "room:\0", 1, None, b""),)),
        Writes(log=(LogRow(1, "room:\ud800", 1, None, b""),)),
        Writes(log=(LogRow(1, "room:r", 2**63, None, b""),)),
        Writes(states=(StateRow("key\0", 1, 1, SECRET.encode()),)),
        Writes(answers=(AnswerRow(f"{SECRET}\0", "1", b""),)),
        Writes(listed=(ListedRow("rooms", "r", f"{SECRET}\ud800"),)),
        Writes(log=(sent(1),), words=(WordsRow(sent(1).about or "", 1, (), (f"{SECRET}\0",)),)),
        Writes(log=(sent(1),), words=(WordsRow(sent(1).about or "", 1, (), ("x" * 3_000,)),)),
    ],
)
async def test_what_cannot_be_stored_is_poison_and_is_not_repeated(url: str, writes: Writes) -> None:
    async with opened(url) as store:
        connection = store._writer._connection
        await store.begin(0, [], [])
        with pytest.raises(Poisoned) as poisoned:
            await store.commit(writes)
        assert SECRET not in str(poisoned.value)
        assert poisoned.value.__cause__ is None
        await say(store, "hello")
        assert store._writer._connection is connection


async def test_keys_are_in_the_order_of_their_bytes_whatever_the_databases_own(postgres: Postgres) -> None:
    version = int(postgres.run("SHOW server_version_num"))
    options = "LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0" if version >= 150_000 else ""
    keys = ["B", "a", "a-b", "aB", "ab", "é", "日"]
    async with opened(postgres.new_database(options)) as store:
        await write(store, states=[StateRow(key, 1, 1, key.encode()) for key in reversed(keys)])
        await write(store, listed=[ListedRow("list", key, key) for key in reversed(keys)])
        await write(store, log=[sent(1)], words=[WordsRow(sent(1).about or "", 1, (), tuple(reversed(keys)))])
        found = await store.find([Range(first="B", last="日", limit=9), Listed(list="list")])
        assert found == [[key.encode() for key in keys], keys]
        assert [row.key for row in await store.read_listed(("", ""), 9)] == keys
        assert [word for word, _ in await store.read_words(("", 0), 9)] == keys


# At the start.


async def test_a_wrong_password_or_database_or_port_is_told_without_the_password(postgres: Postgres) -> None:
    url = postgres.url("chat_none")
    assert "chat_none at 127.0.0.1 does not exist: create it" in await refusal(url)
    wrong = postgres.url().replace(QUOTED, "wr0ng-secret")
    assert "check the user and the password" in (told := await refusal(wrong))
    assert "wr0ng-secret" not in told
    nobody = postgres.url(port=1)
    assert "cannot be reached" in (told := await refusal(nobody))
    assert QUOTED not in told
    assert PASSWORD not in told
    for url in (nobody.replace("1/", "port/"), f"postgresql://{QUOTED}[/x"):
        assert QUOTED not in await refusal(url)


async def test_the_database_of_another_program_is_refused_and_left_alone(postgres: Postgres, url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.run("CREATE TABLE songs (title text)", name)
    assert "another program" in await refusal(url)
    assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == "songs"


async def test_a_database_without_a_chat_is_refused_where_none_may_be_made(url: str) -> None:
    assert "has no chat in it" in await refusal(url, create=False)
    assert "has no chat in it" in await refusal(url, read_only=True)
    async with opened(url):
        pass
    async with opened(url, read_only=True):
        pass


async def test_a_newer_schema_or_format_is_refused(postgres: Postgres, url: str) -> None:
    async with opened(url, 7):
        pass
    assert "newer version (format 7, this one knows 3)" in await refusal(url, 3)
    assert "newer version (format 7, this one knows 3)" in await refusal(url, 3, read_only=True)
    postgres.run("UPDATE schema_version SET version = 99", url.rpartition("/")[2])
    assert "newer version (schema 99" in await refusal(url)
    assert "newer version (schema 99" in await refusal(url, read_only=True)


async def test_an_older_schema_is_brought_up_to_date_and_a_migration_that_fails_leaves_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url) as store:
        await say(store, "hello")
    newer = (*schema.MIGRATIONS, "CREATE TABLE more (what text)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*newer, "CREATE TABLE log (what text)"))
    assert "exists" in await refusal(url)
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    assert "older version" in await refusal(url, read_only=True)
    async with opened(url) as store:
        assert "more" in await store.tables()
        await say(store, "next")


async def test_a_user_who_may_not_make_tables_is_told(postgres: Postgres, url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.run("REVOKE CREATE ON SCHEMA public FROM public", name)
    postgres.run(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'guest'")
    assert "make tables" in await refusal(url.replace(f"chat:{QUOTED}", f"guest_{name}:guest"))


async def test_a_server_that_is_too_old_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST", 99)
    assert "is too old: 99 or later is needed" in await refusal(url)


async def test_of_several_hosts_the_primary_is_taken(postgres: Postgres) -> None:
    """In whatever order they come, and not where another one is asked for."""
    with Postgres(fsync=False) as standby:
        for each in (postgres, standby):
            each.run("CREATE DATABASE several")
        follow(standby)
        for ports in ((standby.port, postgres.port), (postgres.port, standby.port)):
            url = postgres.url("several").replace(str(postgres.port), f"{ports[0]},127.0.0.1:{ports[1]}")
            async with opened(url) as store:
                await turn(store)
        assert "read-only" in await refusal(f"{url}?target_session_attrs=standby")
        assert "none of its hosts is the primary" in await refusal(url.replace(str(postgres.port), str(standby.port)))


def follow(server: Postgres) -> None:
    """It waits for what a primary would tell it, and takes no writes."""
    server.stop("fast")
    (server.data / "standby.signal").touch()
    server.start()


# Maintenance.


async def test_another_may_verify_beside_one_that_writes(url: str) -> None:
    async with opened(url) as writer, opened(url, read_only=True) as reader:
        await say(writer, "hello")
        before = await everything(reader)
        assert before == await everything(writer)
        assert not any([await reader.check_table(table) for table in await reader.tables()])
        with pytest.raises(Unavailable):
            await reader.begin(0, [], [])
        with pytest.raises(Unavailable):
            await reader.lead()


async def test_words_are_read_in_pages_from_wherever_one_begins(url: str) -> None:
    async with opened(url) as store:
        await say(store, *[f"w{number % 7} x{number}" for number in range(40)])
        whole = await store.read_words(("", 0), 1_000)
        paged, after = [], ("", 0)
        while page := await store.read_words(after, 7):
            paged += page
            after = page[-1]
        assert paged == whole == sorted(whole)
        for at in (3, 50, 20):
            assert await store.read_words(whole[at], 2) == whole[at + 1 : at + 3]


async def test_a_rebuild_wants_every_node_stopped_and_keeps_them_out(url: str) -> None:
    async with opened(url) as serving:
        async with opened(url) as other:
            with pytest.raises(Unusable, match="stop all nodes first"):
                await other.start_rebuild()
            await turn(other)
        await serving.start_rebuild()
        assert "is being rebuilt" in await refusal(url)
        await serving.write_rebuilt([state(1)], [filed(1, "red")], [])
        await serving.finish_rebuild()
        async with opened(url) as other:
            await turn(other)


async def test_a_rebuild_that_lost_its_connection_cannot_go_on(url: str) -> None:
    async with opened(url) as store:
        await store.start_rebuild()
        assert store._writer._connection
        store._writer._connection.terminate()
        with pytest.raises(Unavailable, match="its connection was lost"):
            await store.write_rebuilt([state(1)], [], [])
        with pytest.raises(Unavailable, match="its connection was lost"):
            await store.finish_rebuild()


async def test_a_rebuild_that_was_not_finished_leaves_nothing(url: str) -> None:
    async with opened(url) as store:
        before = await store.tables()
        await store.start_rebuild()
        await store.write_rebuilt([state(1)], [], [])
    async with opened(url) as store:
        assert await store.tables() == before


async def test_a_node_that_reconnects_during_a_rebuild_is_unavailable(url: str) -> None:
    async with opened(url) as serving, opened(url) as other:
        assert serving._writer._connection
        serving._writer._connection.terminate()
        await asyncio.sleep(0)
        for _ in range(100):  # until the server has noticed
            try:
                await other.start_rebuild()
                break
            except Unusable:
                await asyncio.sleep(0.05)
        with pytest.raises(Unavailable, match="is being rebuilt"):
            await serving.begin(0, [], [])
        await other.finish_rebuild()
        await asyncio.sleep(0.25)
        await serving.begin(0, [], [])
        await serving.commit(Writes(log=(event(1),)))


async def test_a_backup_is_for_the_servers_own_tools(url: str) -> None:
    async with opened(url) as store:
        with pytest.raises(Unusable, match="pg_dump"):
            await store.backup("copy", lambda done, total: None)
