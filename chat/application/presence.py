"""Who is here, and who types: told to the sockets of this node, and kept nowhere."""

import asyncio
from collections.abc import Callable
from typing import Final

from chat.application.buckets import Buckets
from chat.application.codec import encode
from chat.application.ports import Clock, Hub
from chat.domain.frames import PresenceTold, TypingTold
from chat.domain.rooms import Room
from chat.logic import presence
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context
from chat.logic.rates import TYPING

TICK: Final = 1.0  # seconds for which comings and goings are gathered


class Presence:
    """`context` gives the states at hand: what is told is told of these."""

    def __init__(self, hub: Hub, clock: Clock, context: Callable[[], Context]) -> None:
        self.seen: presence.Seen = {}
        self._typing = Buckets(TYPING, clock)
        self._hub = hub
        self._clock = clock
        self._context = context

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.tell()

    def tell_typing(self, account: str, room: str) -> None:
        """To the others in the room, and not too often."""
        if not self._typing.take(f"{account} {room}"):
            self._hub.say_room(room, [encode(TypingTold(room, account))], but=account)

    def tell(self) -> None:
        """Who came and went since this was called last."""
        self.seen, online, offline = presence.tick(self.seen, self._hub.accounts, self._clock.seconds())
        for told in self._told(online, offline):
            self._hub.say_room(told.room, [encode(told)])

    def _told(self, online: list[str], offline: list[str]) -> list[PresenceTold]:
        """One frame for each small room in which something changed."""
        context = self._context()
        came: dict[str, list[str]] = {}
        went: dict[str, list[str]] = {}
        for accounts, rooms in ((online, came), (offline, went)):
            for account in accounts:
                for room in _small_rooms(account, context):
                    rooms.setdefault(room, []).append(account)
        return [PresenceTold(room, tuple(came.get(room, ())), tuple(went.get(room, ()))) for room in came | went]


def _small_rooms(account: str, context: Context) -> list[str]:
    version = context.states.get(account_key(account))
    rooms = getattr(version.state, "rooms", ()) if version else ()
    small = []
    for room in rooms:
        found = context.states.get(room_key(room))
        if found and isinstance(found.state, Room) and len(found.state.members) <= presence.ROOM:
            small.append(room)
    return small
