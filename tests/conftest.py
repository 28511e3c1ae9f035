"""What every test has: the event loop that async tests run on, and the marker for tools that may be missing.

A test that needs a tool says so, `@pytest.mark.requires("rabbitmq")`, and is skipped where tests/run did not find it:

    rabbitmq, postgresql, nginx, chromium, node
    cc          a C compiler
    faketime    libfaketime; CHAT_TEST_FAKETIME is its path
    netns       the right to make network namespaces: root's
    mount       the right to mount a tmpfs: root's, here or in `unshare -rm`
    container   what builds and runs an image: debootstrap, buildah, podman and runc, and the right to: root's
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import canaries

TOOLS = frozenset(
    {"rabbitmq", "postgresql", "nginx", "chromium", "node", "cc", "faketime", "netns", "mount", "container"}
)

# A shared machine may stall for longer than any deadline.
settings.register_profile("chat", settings(), deadline=None)
settings.load_profile("chat")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def logs_keep_secrets() -> Iterator[None]:
    yield
    found = canaries.leaks()
    assert not found, "\n".join(found)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = frozenset(os.environ.get("CHAT_TEST_MISSING", "").split(","))
    for item in items:
        needed = {tool for marker in item.iter_markers("requires") for tool in marker.args}
        if unknown := needed - TOOLS:
            raise pytest.UsageError(f"{item.nodeid} requires {sorted(unknown)}; known are {sorted(TOOLS)}")
        if absent := needed & missing:
            item.add_marker(pytest.mark.skip(reason=f"missing: {', '.join(sorted(absent))}"))
