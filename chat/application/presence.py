"""Who is here, and who types: told to the sockets of this node and to the other nodes, and kept nowhere."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from chat.application.buckets import Buckets
from chat.application.codec import encode
from chat.application.ports import Broker, Clock, Hub
from chat.application.reading import Reading
from chat.domain.accounts import Account
from chat.domain.errors import Refused
from chat.domain.frames import PresenceTold, TypingTold
from chat.domain.news import Connected, ConnectedChanged, News, SomebodyTypes
from chat.domain.rooms import Room
from chat.logic import presence
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context
from chat.logic.rates import TYPING

log = structlog.get_logger(__name__)

TICK: Final = 1.0  # seconds for which comings and goings are gathered
AT_ONCE: Final = 200  # accounts that are looked for in the store, where they are not at hand
ANNOUNCE: Final = 10.0  # seconds after which a node says anew who all is connected to it


class Presence:
    """`name` is this node's."""

    def __init__(self, name: str, hub: Hub, broker: Broker, clock: Clock, reading: Reading) -> None:
        self.seen: presence.Seen = {}
        self._name = name
        self._typing = Buckets(TYPING, clock)
        self._hub = hub
        self._broker = broker
        self._clock = clock
        self._reading = reading
        self._elsewhere: presence.Elsewhere = {}
        self._announced: frozenset[str] = frozenset()
        self._announce_at = clock.seconds()
        self._has_left = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self.announce()
                await self.tell()
            except Exception:  # a state that cannot be read: it is no fact that is lost here
                log.exception("who is here cannot be told")

    # ---- typing

    def tell_typing(self, account: str, room: str) -> None:
        """To the others in the room, and not too often."""
        if not self._typing.take(f"{account} {room}"):
            self._say_typing(account, room)
            self._ring(SomebodyTypes(self._name, room, account))

    def hear_typing(self, news: SomebodyTypes) -> None:
        if news.node != self._name:
            self._say_typing(news.account, news.room)

    def _say_typing(self, account: str, room: str) -> None:
        self._hub.say_room(room, [encode(TypingTold(room, account))], but=account)

    # ---- other nodes

    def announce(self) -> None:
        """To the other nodes: who came and went, and now and then all who are here."""
        if self._has_left:
            return
        here = frozenset(self._hub.accounts)
        now = self._clock.seconds()
        if now >= self._announce_at:
            self._announce_at = now + ANNOUNCE
            self._ring(Connected(self._name, tuple(here)))
        elif here != self._announced:
            self._ring(ConnectedChanged(self._name, tuple(here - self._announced), tuple(self._announced - here)))
        self._announced = here

    def leave(self) -> None:
        """Nobody is here any more, whoever lingers."""
        self._has_left = True
        self._ring(Connected(self._name, ()))

    def meet(self) -> None:
        """There may be a node that knows nothing of this one: say all with the next tick."""
        self._announce_at = self._clock.seconds()

    def hear(self, news: Connected) -> None:
        if news.node == self._name:
            return
        if news.node not in self._elsewhere:
            self.meet()
        self._elsewhere = presence.hear(self._elsewhere, news.node, news.accounts, self._clock.seconds())

    def hear_change(self, news: ConnectedChanged) -> None:
        now = self._clock.seconds()
        self._elsewhere = presence.hear_change(self._elsewhere, news.node, news.came, news.went, now)

    def _ring(self, news: News) -> None:
        self._broker.ring(encode(news))

    # ---- who came and went

    async def tell(self) -> None:
        """Who came and went since this was called last, as far as is known which rooms they are in."""
        now = self._clock.seconds()
        self._elsewhere = presence.expired(self._elsewhere, now)
        connected = presence.everywhere(self._hub.accounts, self._elsewhere)
        self.seen, online, offline = presence.tick(self.seen, connected, now)
        with suppress(Refused):
            await self._look_for(online + offline)
        for told in self._told(online, offline):
            self._hub.say_room(told.room, [encode(told)])

    async def _look_for(self, accounts: list[str]) -> None:
        """Those of other nodes are not at hand. Raises `Refused` `unavailable`."""
        for start in range(0, len(accounts), AT_ONCE):
            keys = [account_key(account) for account in accounts[start : start + AT_ONCE]]
            await self._reading.consult(partial(_look_at, keys))

    def _told(self, online: list[str], offline: list[str]) -> list[PresenceTold]:
        """One frame for each small room in which something changed. The rooms of those who are here are at hand."""
        context = self._reading.context()
        came: dict[str, list[str]] = {}
        went: dict[str, list[str]] = {}
        for accounts, rooms in ((online, came), (offline, went)):
            for account in accounts:
                for room in _small_rooms(account, context):
                    rooms.setdefault(room, []).append(account)
        return [PresenceTold(room, tuple(came.get(room, ())), tuple(went.get(room, ()))) for room in came | went]


def _look_at(keys: list[str], context: Context) -> None:
    context.look_all(keys, Account)


def _small_rooms(account: str, context: Context) -> list[str]:
    version = context.states.get(account_key(account))
    rooms = getattr(version.state, "rooms", ()) if version else ()
    small = []
    for room in rooms:
        found = context.states.get(room_key(room))
        if found and isinstance(found.state, Room) and len(found.state.members) <= presence.ROOM:
            small.append(room)
    return small
