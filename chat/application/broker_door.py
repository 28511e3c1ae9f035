"""The door to the broker: what other nodes ring, and the letters of other programs, which are commands and questions
that bots send as they would by a websocket.

A letter is answered once what it asks for is settled. While the store is away, or too much waits, it is tried again
instead of refused: a letter can wait for as long as that takes, and what it asks for happens once, by its id.
"""

import asyncio
from typing import Final

import structlog

from chat.application.authentication import Asker, must_be, who_has
from chat.application.doors import frame_decoder
from chat.application.node import Node
from chat.domain.accounts import Account
from chat.domain.errors import Refused, StoreError
from chat.domain.limits import BODY
from chat.domain.programs import Letter, Reply
from chat.domain.vocabulary import Command, Query
from chat.logic import websocket
from chat.logic.doors import UNREADABLE, id_in, malformed
from chat.logic.keys import account_key

PASSING: Final = frozenset({"unavailable", "busy"})  # what says nothing of the letter itself
LARGEST: Final = 16 * BODY  # bytes in which an id is looked for
AGAIN: Final = 1.0  # seconds until it is tried again
ADDRESS: Final = "broker"  # of all programs together, for limits

log = structlog.get_logger(__name__)


class BrokerDoor:
    """Satisfies `chat.application.ports.Listener`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._decoder = frame_decoder(node.tables)
        self.missed = node.doorbell.missed
        self.hear = node.doorbell.hear

    async def carry_out(self, letter: Letter) -> Reply:
        try:
            asked = self._read(letter.frame)
        except Refused as refusal:
            return Reply(websocket.refused(_id_in(letter.frame), refusal), readable=False)
        passing = PASSING
        while True:
            try:
                return Reply(await self._answer(asked, letter.token))
            except Refused as refusal:
                if refusal.code not in passing:
                    return Reply(websocket.refused(asked.id, refusal))
            except StoreError:
                pass  # it passes
            except Exception:
                log.exception("a letter broke", kind=type(asked).__name__)
                return Reply(websocket.refused(asked.id, Refused("internal")))
            passing = PASSING | {"too_fast"}  # to be tried again costs as much, and is not the sender's wish
            await asyncio.sleep(AGAIN)

    def _read(self, frame: bytes) -> Command | Query:
        """Raises `Refused` `malformed`, `too_large`."""
        if len(frame) > BODY:
            raise Refused("too_large", f"A frame has at most {BODY} bytes.")
        try:
            asked = self._decoder.decode(frame)
        except UNREADABLE as error:
            raise malformed(error) from None
        if not isinstance(asked, Command | Query):
            raise Refused("malformed", "Commands and queries alone are taken here.", field="type")
        if not asked.id:
            raise Refused("malformed", "It needs an id.", field="id")
        return asked

    async def _answer(self, asked: Command | Query, token: str) -> bytes:
        """Raises `Refused`, or a `StoreError`."""
        asker = await self._bot(token)
        if isinstance(asked, Query):
            return websocket.answer(asked.id, await self._node.ask(asked, asker.account, asker.session))
        done = await self._node.do(asked, asker.account, asker.session)
        return websocket.ack(asked.id, done)

    async def _bot(self, token: str) -> Asker:
        """Raises `Refused`."""
        asker = must_be(await who_has(token, self._node, ADDRESS))
        account = await self._node.reading.consult(lambda context: context.look(account_key(asker.account), Account))
        if not account.bot:
            raise Refused("forbidden", "Only a bot's token is taken here.")
        return asker


def _id_in(frame: bytes) -> str | None:
    """Also of one that is too large, but not of any size."""
    return id_in(frame) if len(frame) <= LARGEST else None
