"""A websocket connection: the pure session decides what a frame asks for, and this carries it out.

Commands go to the turn at once and are answered when it is told. Everything else (questions, forms with secrets, a
resume) waits its turn in a line of the connection, so that one task is enough and no answer overtakes another. The
line is bounded by the session, which stops reading at 64 unanswered.
"""

import asyncio
from collections import deque
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
from chat.domain.accounts import Me
from chat.domain.errors import Refused, StoreError
from chat.domain.frames import CaughtUp, Hello, Resume
from chat.domain.rooms import ListRooms, Room
from chat.domain.vocabulary import Command, Query
from chat.logic import mediator, resume, websocket
from chat.logic.keys import account_key, room_key
from chat.logic.mediator import Context

PAGE: Final = 200  # events of a replay that are read at once

log = structlog.get_logger(__name__)

Line = Command | Query | Resume


class Connection:
    def __init__(self, node: Node, wire: Wire, asker: Asker, decoder: "msgspec.json.Decoder[Any]") -> None:
        self._node = node
        self._wire = wire
        self._asker = asker
        self._decoder = decoder
        self._talk = websocket.begin(node.clock.seconds())
        self._line: deque[Line] = deque()
        self._wake = asyncio.Event()
        self._lost = False
        self._hello: dict[str, int] = {}
        self._socket: Socket

    async def serve(self) -> None:
        """From hello to the end of the connection. Raises `Refused` when hello cannot be said."""
        await self._say_hello()
        try:
            self._wire.listen(self._on_frame, self._on_lost)
            while not self._lost:
                await self._wake.wait()
                self._wake.clear()
                while self._line and not self._lost:
                    await self._next(self._line.popleft())
        finally:
            self._node.hub.leave(self._socket)

    # ---- hello

    async def _say_hello(self) -> None:
        """The socket enters the hub at the very moment that hello speaks of; what is told since is kept aside."""
        me, rooms = await self._node.reading.consult(self._look, *self._who)
        self._enter()
        try:
            answer = await self._node.reading.complete(rooms, *self._who)
        except BaseException:
            self._node.hub.leave(self._socket)
            raise
        self._hello = {room["id"]: room["seq"] for room in answer["rooms"]}
        hello = Hello(self._node.epoch, me["account"], answer["rooms"], me["limits"])
        self._socket.admit(encode(hello))

    @property
    def _who(self) -> tuple[str, str]:
        return self._asker.account, self._asker.session

    def _look(self, context: Context) -> tuple[dict[str, Any], Any]:
        tables = self._node.tables
        return mediator.answer(tables, Me(), context), mediator.answer(tables, ListRooms(), context)

    def _enter(self) -> None:
        account = self._node.cache.get(account_key(self._asker.account))
        mine = getattr(account.state, "rooms", ()) if account else ()
        self._socket = self._node.hub.enter(self._wire, *self._who, mine)

    # ---- what comes in

    def _on_lost(self) -> None:
        self._lost = True
        self._wake.set()

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
                self._node.tell_typing(self._asker.account, room)
            case websocket.Say(said):
                self._socket.say((said,))
            case websocket.HangUp(code, reason):
                self._wire.hang_up(code, reason)
            case _:
                assert_never(deed)
        if not self._talk.listening:
            self._wire.pause()

    def _queue(self, asked: Line) -> None:
        self._line.append(asked)
        self._wake.set()

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
        frame = websocket.refused(name, outcome) if isinstance(outcome, Refused) else websocket.ack(name, outcome)
        self._answer(frame)

    def _answer(self, frame: bytes | None = None) -> None:
        """One question less is open; whether or not there is something to say about it."""
        if frame:
            self._socket.say((frame,))
        paused = not self._talk.listening
        self._talk = websocket.answered(self._talk)
        if paused and not self._lost:
            self._wire.resume()

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
        name = None if isinstance(asked, Resume) else asked.id
        self._answer(websocket.refused(name, refusal))

    # ---- resuming

    async def _replay(self, asked: Resume) -> None:
        now = await self._node.reading.consult(partial(_seqs, list(asked.rooms)), *self._who)
        for step in resume.plan(asked, self._node.epoch, self._hello, now):
            if isinstance(step, resume.Tell):
                await self._tell_missed(step)
                self._socket.say((encode(CaughtUp(step.room, step.upto)),))
            else:
                self._socket.say((encode(step),))

    async def _tell_missed(self, step: resume.Tell) -> None:
        """Page by page, as fast as they are read, and no further than the asker is a member."""
        after = step.after
        while after < step.upto and step.room in self._socket.rooms:
            rows = await self._node.store.read_stream(f"room:{step.room}", after, step.upto, PAGE)
            if not rows:
                return
            self._socket.say([row.event for row in rows])
            after = rows[-1].seq
            await asyncio.sleep(0)  # what was said goes out at the end of this round
            await self._wire.drained()


def _seqs(rooms: list[str], context: Context) -> dict[str, int]:
    """Where the asked rooms stand, of those that the asker is a member of."""
    states = context.look_all([room_key(room) for room in rooms], Room)
    return {
        room: context.states.at(room_key(room)).seq
        for room, state in zip(rooms, states, strict=True)
        if context.actor in state.members
    }
