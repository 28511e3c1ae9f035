"""Sockets whose session has ended. Its end closes them at once, by its event and by a timer for its expiry; should
either have been missed, they are found here.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog

from chat.application.ports import Hub, Socket
from chat.application.reading import Reading
from chat.domain.accounts import Account
from chat.domain.errors import Refused, StoreError
from chat.logic.keys import account_key
from chat.logic.mediator import Context
from chat.logic.sessions import is_living
from chat.logic.websocket import UNAUTHENTICATED

SWEEP: Final = 60.0  # seconds
WAVE: Final = 100  # sockets looked at without a pause

log = structlog.get_logger(__name__)


async def sweep(hub: Hub, reading: Reading) -> None:
    """Again and again, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP)
        try:
            await hang_up_ended(hub, reading)
        except (Refused, StoreError) as error:
            log.warning("sessions cannot be looked at", error=type(error).__name__)
        except Exception:
            log.exception("sessions cannot be looked at")


async def hang_up_ended(hub: Hub, reading: Reading) -> None:
    """Raises `Refused` `unavailable`."""
    sockets = list(hub.sockets())
    for start in range(0, len(sockets), WAVE):
        ended = await reading.consult(partial(_ended, sockets[start : start + WAVE]))
        for socket in filter(hub.has, ended):
            log.warning("a socket has outlived its session", account=socket.account)
            socket.hang_up(UNAUTHENTICATED, "the session has ended")
        await asyncio.sleep(0)


def _ended(sockets: Sequence[Socket], context: Context) -> list[Socket]:
    names = dict.fromkeys(socket.account for socket in sockets)
    accounts = dict(zip(names, context.look_all([account_key(name) for name in names], Account), strict=True))
    return [socket for socket in sockets if not is_living(accounts[socket.account], socket.session, context.now)]
