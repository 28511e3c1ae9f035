from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.application.ports import Store
from chat.domain.log import ListedRow
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.postgres import PostgresStore
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.given import ROOMS, write
from tests.servers.postgres import Postgres, shared

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.requires("postgresql"))


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Every store in turn, new and open."""
    opened = new_store(request.param, tmp_path)
    await opened.open("epoch", 1)
    yield opened
    await opened.close()


def new_store(kind: str, folder: Path) -> Store:
    match kind:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqliteStore(folder / "chat.db")
    return PostgresStore(shared().new_database())


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A server for all tests that leave it running."""
    return shared()


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Of a database in which there is nothing."""
    return postgres.new_database()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file that is not there yet."""
    return tmp_path / "chat.db"


@pytest.fixture
async def listed(store: Store) -> Store:
    rows = [ListedRow("rooms", key, label) for key, label in ROOMS]
    await write(store, listed=[*rows, ListedRow("accounts", "account:1", "art")])
    return store
