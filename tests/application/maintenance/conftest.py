"""A database in which much has happened."""

from pathlib import Path
from shutil import copy

import pytest

from tests.application.maintenance.given import happen, node_at


@pytest.fixture(scope="session")
async def eventful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eventful") / "chat.db"
    async with node_at(path) as node:
        await happen(node)
    return path


@pytest.fixture
def database(eventful: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test."""
    return Path(copy(eventful, tmp_path / "chat.db"))
