"""One server for each module of tests, and four people on it; ann, who came first, owns it.

When the module is over, the server's log must hold no trace of a bug and no secret.
"""

from collections.abc import Iterator

import pytest

from tests.client import PASSWORD, Account, register
from tests.running import Server, running

SECRET_TEXT = "a text that nobody logs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, "--registration", "open", "--rate", "0", database="memory:") as server:
        yield server
        assert server.process.poll() is None, "the server ended by itself"
    log = server.log.read_text()
    assert "Traceback" not in log, log
    assert "a request broke" not in log, log
    assert PASSWORD not in log
    assert SECRET_TEXT not in log


@pytest.fixture(scope="module")
def ann(server: Server) -> Account:
    return register(server.address, "ann")


@pytest.fixture(scope="module")
def bob(server: Server, ann: Account) -> Account:
    return register(server.address, "bob")


@pytest.fixture(scope="module")
def cat(server: Server, ann: Account) -> Account:
    return register(server.address, "cat")


@pytest.fixture(scope="module")
def dan(server: Server, ann: Account) -> Account:
    return register(server.address, "dan")
