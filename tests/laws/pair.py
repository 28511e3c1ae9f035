"""A little world on two nodes, one on the memory store and one on SQLite, that get the same bytes at the same doors and
have to say the same bytes to everybody.

Time, ids, tokens and hashes are counted, so that nothing but the stores differs.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import msgspec
from starlette.types import ASGIApp, Message

from chat.application import maintenance
from chat.application.app import application
from chat.application.node import Node
from chat.application.ports import Store
from chat.domain.accounts import CreateInvite, PromoteAccount, Register
from chat.domain.messages import AddReaction, PinMessage, SendMessage
from chat.domain.rooms import AddMember, ArchiveRoom, CreateRoom, OpenDirect
from chat.domain.vocabulary import Command
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.sqlite import SqliteStore
from chat.logic import websocket
from tests.application.fakes import CountedIds, FakeClock, PlainPasswords, PlainTokens
from tests.inside import DECODER, SETTINGS, WIRING, Listener, do
from tests.laws.frames import PEOPLE

EVERY: Final = 1_000_000
ANSWERS: Final = (b'{"type":"ack"', b'{"type":"refused"', b'{"type":"answer"')
ENDS: Final = (b'{"type":"caught_up"', b'{"type":"reset"', b'{"type":"refused"')


class Request(NamedTuple):
    """By HTTP; `who` is one of the PEOPLE, or nobody."""

    who: str
    method: str
    path: str
    query: bytes = b""
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Frame(NamedTuple):
    """By the websocket of one of the PEOPLE, if it is open."""

    who: str
    frame: bytes


class Response(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def node_on(store: Store, clock: FakeClock) -> Node:
    node_of = WIRING["node_of"]
    tools = {
        "SystemClock": lambda: clock,
        "TimedIds": CountedIds,
        "Argon2Passwords": PlainPasswords,
        "RandomTokens": PlainTokens,
    }
    with patch.dict(node_of.__globals__, tools):
        node: Node = node_of(SETTINGS, store)
    return node


BEGINNING: Final[Sequence[tuple[str, Command, str]]] = [  # who, what, and the id of what is new
    *(
        (name, Register(id="1", name=name, password=f"hash of password of {name}", token=f"hash of {name}"), name)
        for name in PEOPLE
    ),
    ("ann", PromoteAccount(id="2", account="bob", role="admin"), ""),
    ("ann", CreateRoom(id="3", title="Public", kind="public", members=("bob", "cat")), "public"),
    ("bob", CreateRoom(id="4", title="Private", kind="private", members=("cat",)), "private"),
    ("ann", CreateRoom(id="5", title="Archived", kind="public", members=("bob",)), "archived"),
    ("ann", ArchiveRoom(id="6", room="archived"), ""),
    ("cat", OpenDirect(id="7", account="dan"), "direct"),
    *((name, SendMessage(id="8", room="public", text=f"@ann hello of {name}"), "") for name in ("ann", "bob", "cat")),
    ("cat", SendMessage(id="9", room="private", text="hi"), ""),
    ("bob", AddReaction(id="10", room="public", message=5, emoji="👍"), ""),
    ("ann", PinMessage(id="11", room="public", message=5), ""),
    ("ann", AddMember(id="12", room="public", account="dan"), ""),
    ("ann", CreateInvite(id="13", invite="hash of invite", uses=2, rooms=("public",)), ""),
]


class Side:
    """One of the nodes, with everybody listening."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.node = node_on(store, clock)
        self.app: ASGIApp = application(self.node)
        self.listeners: dict[str, Listener] = {}
        self._heard = dict.fromkeys(PEOPLE, 0)
        self._turns: asyncio.Task[None]

    async def open(self) -> None:
        await self.node.start()
        await self.node.store.write_epoch("epoch")
        self.node.cursor.epoch = "epoch"
        self._turns = asyncio.create_task(self.node.turns.run())
        for who, command, fresh in BEGINNING:
            await do(self.node, who, command, fresh=fresh, session=who)
        for who in PEOPLE:
            self.listeners[who] = Listener(self.node, who)
            await self.listeners[who].greeted()

    async def close(self) -> None:
        """Raises what a connection broke with."""
        for listener in self.listeners.values():
            await listener.leave()
        self._turns.cancel()
        with suppress(asyncio.CancelledError):
            await self._turns
        await self.node.close()

    async def take(self, case: Frame | Request) -> tuple[Response | None, dict[str, Any]]:
        """What is answered to a request, and what everybody hears."""
        response = None
        if isinstance(case, Request):
            response = await self._request(case)
        elif self.listeners[case.who].wire.closed is None:
            await self._say(self.listeners[case.who], case.frame)
        for _ in range(4):
            await asyncio.sleep(0)
        return response, {who: self._news(who) for who in PEOPLE}

    async def _say(self, listener: Listener, frame: bytes) -> None:
        wire, before = listener.wire, len(listener.wire.heard)
        wire.on_frame(frame)
        awaited, number = answers_to(frame)
        await listener.until(
            lambda: wire.closed or sum(heard.startswith(awaited) for heard in wire.heard[before:]) >= number
        )

    def _news(self, who: str) -> tuple[list[bytes], int | None]:
        wire, before = self.listeners[who].wire, self._heard[who]
        self._heard[who] = len(wire.heard)
        return wire.heard[before:], wire.closed

    async def _request(self, request: Request) -> Response:
        token = [(b"authorization", f"Bearer {request.who}.{request.who}".encode())] if request.who else []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "root_path": "",
            "query_string": request.query,
            "headers": [(b"host", b"chat.test"), *token, *request.headers],
            "client": ("192.0.2.1", 1),
            "server": ("chat.test", 80),
            "extensions": {},
        }
        told: list[Message] = []
        body = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> Message:
            return body.pop() if body else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            told.append(message)

        await self.app(scope, receive, send)
        start, *rest = told
        return Response(start["status"], start["headers"], b"".join(each.get("body", b"") for each in rest))

    async def verified(self) -> tuple[int, str]:
        """The status, and what was said."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            status = await maintenance.verify(self.node, {})
        return status, said.getvalue()


def answers_to(frame: bytes) -> tuple[tuple[bytes, ...], int]:
    """How these begin, and how many have to come."""
    match websocket.receive(DECODER, websocket.begin(0), frame, 0)[1]:
        case websocket.Submit() | websocket.Ask():
            return ANSWERS, 1
        case websocket.Replay(asked):
            return ENDS, len(asked.rooms)
        case websocket.Say():
            return (b'{"type":"refused"', b'{"type":"pong"'), 1
    return ANSWERS, 0


class Pair:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.memory = Side(MemoryStore(), self.clock)
        self.sqlite = Side(SqliteStore(folder / "chat.db"), self.clock)
        self.sides = (self.memory, self.sqlite)
        self.outcomes: Counter[str] = Counter()

    async def live(self, cases: Sequence[Frame | Request]) -> None:
        for side in self.sides:
            await side.open()
        try:
            for case in cases:
                await self.take(case)
            await self.end()
        finally:
            for side in self.sides:
                await side.close()

    async def take(self, case: Frame | Request) -> None:
        self.clock.monotonic += 1  # no socket is closed for what it cannot say
        one, other = [await side.take(case) for side in self.sides]
        assert one == other
        response, heard = one
        if response:
            self.outcomes[f"{response.status}"] += 1
            assert response.status < 500, response
        for frames, _ in heard.values():
            for frame in frames:
                told = msgspec.json.decode(frame)
                self.outcomes[told.get("code") or told["type"]] += 1
                assert told.get("code") not in ("internal", "unavailable"), told

    async def end(self) -> None:
        """They have the same log, and what is folded from it is what a fresh fold makes of it."""
        logs = [await side.node.store.read_log(0, EVERY) for side in self.sides]
        assert logs[0] == logs[1]
        verdicts = [await side.verified() for side in self.sides]
        assert verdicts[0] == verdicts[1]
        assert verdicts[0][0] == 0, verdicts
