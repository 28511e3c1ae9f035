"""What is done to a database by hand: each takes a node that is started and does not serve, and the arguments of its
command line, and returns the exit status: 0 done, 1 found wrong.
"""

from collections.abc import Mapping
from typing import Any

from chat.application.maintenance.seeding import ARGUMENTS as SEED_ARGUMENTS
from chat.application.maintenance.seeding import seed
from chat.application.node import Node


async def new_epoch(node: Node, _: Mapping[str, Any]) -> int:
    epoch = node.ids.fresh()
    await node.store.write_epoch(epoch)
    print(epoch)
    return 0
verify = rebuild = password = new_epoch
