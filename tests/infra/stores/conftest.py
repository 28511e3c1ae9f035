from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.application.ports import Store
from chat.domain.log import ListedRow
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.sqlite import SqliteStore
from tests.infra.stores.given import ROOMS, write


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Every store in turn, new and open."""
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "chat.db")
    await opened.open("epoch", 1)
    yield opened
    await opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file that is not there yet."""
    return tmp_path / "chat.db"


@pytest.fixture
async def listed(store: Store) -> Store:
    rows = [ListedRow("rooms", key, label) for key, label in ROOMS]
    await write(store, listed=[*rows, ListedRow("accounts", "account:1", "art")])
    return store
