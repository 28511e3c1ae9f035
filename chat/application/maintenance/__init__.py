"""What is done to a database by hand: each takes a node that is started and does not serve, and the arguments of its
command line, and returns the exit status: 0 done, 1 found wrong, 2 an argument is wrong.
"""

from collections.abc import Mapping
from typing import Any

from chat.application.maintenance.copying import backup
from chat.application.maintenance.moving import copy, must_rest
from chat.application.maintenance.passwords import password
from chat.application.maintenance.seeding import ARGUMENTS as SEED_ARGUMENTS
from chat.application.maintenance.seeding import seed
from chat.application.maintenance.verifying import rebuild, verify
from chat.application.node import Node

__all__ = ["SEED_ARGUMENTS", "backup", "copy", "must_rest", "new_epoch", "password", "rebuild", "seed", "verify"]


async def new_epoch(node: Node, _: Mapping[str, Any]) -> int:
    """Clients that come back with the old one are told to read everything again."""
    epoch = node.ids.fresh()
    await node.store.write_epoch(epoch)
    print(epoch)
    return 0
