"""What is in memory cannot be seeded by another process: here a node that has started seeds itself before it serves."""

from typing import Any

from chat.application.maintenance import seed
from chat.application.node import Node


def seed_first(arguments: dict[str, Any]) -> None:
    """From now on, with the arguments of `chat.py seed`."""
    start = Node.start

    async def start_seeded(node: Node, *, unfinished: bool = False) -> None:
        await start(node, unfinished=unfinished)
        assert not await seed(node, arguments), "seeding failed"

    Node.start = start_seeded  # type: ignore[assignment, method-assign]
