"""Two nodes on one log that nobody tells anything, and a room of ann's and bob's on it."""

from chat.application.queue import Outcome
from chat.domain.errors import Refused
from chat.domain.messages import SendMessage
from chat.domain.rooms import Room
from chat.logic.keys import room_key
from tests.application.fakes import World, worlds


class Tea:
    """`here` has taken in everything, and `there` too, up to where the test begins."""

    def __init__(self, here: World, there: World, ann: str, bob: str, room: str) -> None:
        self.here = here
        self.there = there
        self.ann = ann
        self.bob = bob
        self.room = room
        self._sent = 0

    async def send(self, node: World) -> None:
        self._sent += 1
        await node.do(self.ann, SendMessage(id=f"send {self._sent}", room=self.room, text="hi"))

    def submit(self, node: World, number: int) -> list[Outcome]:
        """What this many are told who submit a command by themselves."""
        told: list[Outcome] = []
        for index in range(number):
            send = SendMessage(id=f"submit {index}", room=self.room, text="hi")
            node.node.submit(node.waiting(self.ann, send, told.append))
        return told

    def title(self, node: World) -> str:
        version = node.node.cache.get(room_key(self.room))
        assert version
        assert isinstance(version.state, Room)
        return version.state.title


async def tea() -> Tea:
    here, there = await worlds()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    await there.node.follower.look()
    return Tea(here, there, ann, bob, room)


def codes(outcomes: list[Outcome]) -> list[str]:
    return [outcome.code if isinstance(outcome, Refused) else "ack" for outcome in outcomes]
