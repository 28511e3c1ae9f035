"""`backup FILE`: a copy of the whole database, taken beside a server that goes on."""

from collections.abc import Mapping
from typing import Any

from chat.application.maintenance.findings import complain
from chat.application.maintenance.progress import Progress
from chat.application.node import Node
from chat.domain.errors import Unavailable, Unusable


async def backup(node: Node, arguments: Mapping[str, Any]) -> int:
    target = arguments["file"]
    try:
        with Progress("pages copied", 0) as progress:
            await node.store.backup(target, progress.at)
    except Unusable as error:
        complain(f"cannot back up to {target!r}: {error}")
        return 2
    except Unavailable as error:
        complain(f"the backup to {target!r} failed: {error}")
        return 1
    print(f"{target} has everything up to at least event {node.cursor.position:,}")
    return 0
