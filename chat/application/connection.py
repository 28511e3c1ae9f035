"""A websocket connection: the pure session decides what a frame asks for, and this carries it out.

Commands go to the turn at once and are answered when it is told. Everything else (questions, forms with secrets, a
resume) waits its turn in a line of the connection, so that one task is enough and no answer overtakes another. The
line is bounded by the session, which stops reading at 64 unanswered.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, assert_never

import msgspec
import structlog

from chat.application.authentication import Asker
from chat.application.codec import encode
from chat.application.forms import FORMS
from chat.application.node import Node
from chat.application.ports import Socket, Wire
from chat.application.queue import Outcome, Waiting
from chat.domain.accounts import Account, Me
from chat.domain.errors import Refused, StoreError
from chat.domain.frames import CaughtUp, Hello, Reset, Resume
from chat.domain.limits import FRAME
from chat.domain.rooms import ListRooms, Room
from chat.domain.vocabulary import Command, Query
from chat.logic import mediator, resume, websocket
from chat.logic.crowd import Crowd, has_room
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context

PAGE: Final = 200  # events of a replay that are read at once
HELLO: Final = 4.0  # questions that cost as much as saying hello
STEPS: Final = 50  # rooms of a resume that are looked at without a pause
HELD_BACK: Final = 1.0  # seconds at most
DAY: Final = 24 * 3600.0  # seconds that a timer counts at most before it looks at the clock again

log = structlog.get_logger(__name__)

Line = Command | Query | Resume


class Connection:
    def __init__(
        self, node: Node, wire: Wire, asker: Asker, decoder: "msgspec.json.Decoder[Any]", address: str = ""
    ) -> None:
        self._node = node
        self._wire = wire
        self._asker = asker
        self._address = address
        self._decoder = decoder
        self._talk = websocket.begin(node.clock.seconds())
        self._line: list[Line] = []
        self._resting: asyncio.Future[None] | None = None
        self._lost = False
        self._held: asyncio.TimerHandle | None = None  # who is too fast is not read from for a moment
        self._socket: Socket
        self._expiry: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """From hello to the end of the connection. Raises `Refused` when hello cannot be said."""
        await self._say_hello()
        try:
            self._watch_session()
            self._wire.listen(self._on_frame, self._on_lost)
            while not self._lost:
                await (self._next(self._line.pop(0)) if self._line else self._rest())
        finally:
            self._node.hub.leave(self._socket)
            for timer in (self._expiry, self._held):
                if timer:
                    timer.cancel()

    def _watch_session(self) -> None:
        """Until it expires; one that is ended before closes its sockets by its event."""
        left = _seconds(self._node.clock.now(), self._asker.expires)
        if left > 0:
            self._expiry = asyncio.get_running_loop().call_later(min(left, DAY), self._watch_session)
        else:
            self._socket.hang_up(websocket.UNAUTHENTICATED, "the session has expired")

    # ---- hello

    async def _say_hello(self) -> None:
        """The socket enters the hub at the very moment that hello speaks of; what is told since is kept aside."""
        self._node.allowances.asking.spend(self._asker.account, HELLO)
        if self._node.broker.is_away:  # nobody tells this node what the asker may have seen by another
            await self._node.follower.keep_up()
        me, rooms, seqs = await self._node.reading.consult(self._look, *self._who)
        self._must_serve()
        if not self._has_room():
            raise Refused("full")
        self._socket = self._node.hub.enter(self._wire, *self._who, seqs, self._address)
        try:
            answer = await self._node.reading.complete(rooms, *self._who)
            self._must_serve()  # or it would not be among those who are told when to come back
        except BaseException:
            self._node.hub.leave(self._socket)
            raise
        hello = Hello(self._node.epoch, me["account"], answer["rooms"], me["limits"])
        self._socket.admit(encode(hello))

    def _must_serve(self) -> None:
        if self._node.draining:
            raise Refused("unavailable")

    def _has_room(self) -> bool:
        hub, settings = self._node.hub, self._node.settings
        crowd = Crowd(len(hub), hub.count_of(self._asker.account), hub.count_at(self._address))
        return has_room(crowd, settings.sockets, limited=settings.rate > 0)

    @property
    def _who(self) -> tuple[str, str]:
        return self._asker.account, self._asker.session

    def _look(self, context: Context) -> tuple[dict[str, Any], Any, dict[str, int]]:
        """Who the asker is, the rooms that hello tells of, and where these stand."""
        account = context.look(account_key(context.actor), Account)
        if context.session not in account.sessions:  # it was ended during the handshake
            raise Refused("unauthenticated")
        me = mediator.answer(self._node.tables, Me(), context)
        rooms = mediator.answer(self._node.tables, ListRooms(), context)
        return me, rooms, {room: context.states.at(room_key(room)).seq for room in account.rooms}

    # ---- what comes in

    async def _rest(self) -> None:
        """Until something is asked, or nobody is here any more. Most connections do nothing else, and a future is a
        fifth of an event.
        """
        self._resting = asyncio.get_running_loop().create_future()
        await self._resting

    def _wake(self) -> None:
        if self._resting and not self._resting.done():
            self._resting.set_result(None)

    def _on_lost(self) -> None:
        """Whatever is still being answered, nobody is here any more."""
        self._lost = True
        self._wake()
        self._node.hub.leave(self._socket)

    def _on_frame(self, frame: bytes) -> None:
        self._talk, deed = websocket.receive(self._decoder, self._talk, frame, self._node.clock.seconds())
        match deed:
            case websocket.Submit(command):
                self._submit(command)
            case websocket.Ask(query):
                self._queue(query)
            case websocket.Replay(asked):
                self._queue(asked)
            case websocket.TellTyping(room):
                if room in self._socket.rooms:
                    self._node.presence.tell_typing(self._asker.account, room)
            case websocket.Say(said):
                self._socket.say((said,))
            case websocket.HangUp(code, reason):
                self._wire.hang_up(code, reason)
            case _:
                assert_never(deed)
        if not self._is_listening:
            self._wire.pause()

    @property
    def _is_listening(self) -> bool:
        return self._talk.listening and self._held is None

    def _queue(self, asked: Line) -> None:
        self._line.append(asked)
        self._wake()

    def _submit(self, command: Command) -> None:
        if type(command) in FORMS:
            self._queue(command)
            return
        reply = partial(self._reply, command.id)
        try:
            self._node.submit(Waiting(command, *self._who, self._node.ids.fresh(), reply))
        except Refused as refusal:
            reply(refusal)

    # ---- what goes out

    def _reply(self, name: str, outcome: Outcome) -> None:
        if not isinstance(outcome, Refused):
            self._answer(websocket.ack(name, outcome))
            return
        if outcome.code == "too_fast":
            self._hold_back(outcome.retry_after or 0)
        self._answer(websocket.refused(name, outcome))

    def _answer(self, frame: bytes | None = None) -> None:
        """One question less is open; whether or not there is something to say about it."""
        if frame:
            self._socket.say((frame,))
        self._talk = websocket.answered(self._talk)
        self._listen_again()

    def _listen_again(self) -> None:
        if self._is_listening and not self._lost:
            self._wire.resume()

    def _hold_back(self, seconds: float) -> None:
        """Refusals cost little, but are not free: whoever does not wait when told to is made to."""
        if self._held is None and not self._lost:
            self._wire.pause()
            self._held = asyncio.get_running_loop().call_later(min(seconds, HELD_BACK), self._let_go)

    def _let_go(self) -> None:
        self._held = None
        self._listen_again()

    async def _next(self, asked: Line) -> None:
        """Raises nothing: what breaks here is logged and refused."""
        await self._wire.drained()
        try:
            match asked:
                case Resume():
                    await self._replay(asked)
                    self._answer()
                case Query():
                    content = await self._node.ask(asked, *self._who)
                    self._answer(websocket.answer(asked.id, content))
                case Command():
                    opened = await self._node.open_form(asked, self._asker.account)
                    reply = partial(self._reply, asked.id)
                    self._node.submit_opened(opened, self._asker.session, reply)
        except Refused as refusal:
            self._refuse(asked, refusal)
        except StoreError:
            self._refuse(asked, Refused("unavailable", retry_after=1.0))
        except Exception:
            log.exception("an answer broke", kind=type(asked).__name__)
            self._refuse(asked, Refused("internal"))

    def _refuse(self, asked: Line, refusal: Refused) -> None:
        if isinstance(asked, Resume):
            self._answer(websocket.refused(None, refusal))
        else:
            self._reply(asked.id, refusal)

    # ---- resuming

    async def _replay(self, asked: Resume) -> None:
        self._node.counts.resumes += 1
        now = await self._node.reading.consult(partial(_seqs, list(asked.rooms)), *self._who)
        steps = resume.plan(asked, self._node.epoch, dict(self._socket.rooms), now)
        await self._await_share(resume.cost(steps))
        for number, step in enumerate(steps, 1):
            if not number % STEPS:
                await asyncio.sleep(0)
            if self._lost:
                return
            told = await self._tell_missed(step) if isinstance(step, resume.Tell) else step
            if isinstance(told, Reset):
                self._node.counts.resets[told.reason] += 1
            self._socket.say((encode(told),))

    async def _await_share(self, cost: float) -> None:
        """A resume has no id to be refused by. One that costs more than the account has left is put off, for as long as
        there is anybody to tell.
        """
        while (wait := self._node.allowances.asking.take(self._asker.account, cost)) and not self._lost:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._rest()

    async def _tell_missed(self, step: resume.Tell) -> CaughtUp | Reset:
        """Page by page, as fast as they are read, and no further than the asker is a member. A stream has no gap; when
        the store shows one nevertheless, the asker has to read a page.
        """
        after, limit = step.after, PAGE
        while after < step.upto:
            rows = await self._node.store.read_stream(room_key(step.room), after, step.upto, limit)
            if not rows or rows[-1].seq != after + len(rows):
                return Reset(step.room, step.upto, "too_many")
            if step.room not in self._socket.rooms:
                return Reset(step.room, 0, "not_found")
            part = _first_part([row.event for row in rows])
            self._socket.say(part)
            after += len(part)
            limit = min(PAGE, 2 * len(part))  # no more of large ones than are said
            await asyncio.sleep(0)  # it goes out at the end of this round
            await self._wire.drained()  # what was taken back meanwhile is read so
        return CaughtUp(step.room, step.upto)


def _first_part(events: list[bytes]) -> list[bytes]:
    """As many as are small enough to be said at once, and one at least."""
    size, part = 0, list[bytes]()
    for event in events:
        size += len(event)
        if part and size > FRAME:
            break
        part.append(event)
    return part


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _seqs(rooms: list[str], context: Context) -> dict[str, int]:
    """Where the asked rooms stand, of those that the asker is a member of."""
    states = context.look_all([room_key(room) for room in rooms], Room)
    return {
        room: context.states.at(room_key(room)).seq
        for room, state in zip(rooms, states, strict=True)
        if context.actor in state.members
    }
