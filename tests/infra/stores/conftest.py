from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.application.ports import Store
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Every store in turn, new and open."""
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "chat.db")
    await opened.open("epoch", 1)
    yield opened
    await opened.close()
