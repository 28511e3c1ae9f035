"""A client for tests: HTTP with the standard library's eyes wide open, and a websocket that keeps what it hears.

No log may hold the secrets that it sends or is given: they go to `tests.canaries`.
"""

import asyncio
import http.client
import json
from itertools import count
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.protocol import State

from tests import canaries

PASSWORD = "correct horse battery"
UNBOUNDED: dict[str, Any] = {"max_size": None, "max_queue": None}  # what a client may hear at once


class Response:
    """Status, headers and body; `json` where that is what it holds."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:200]!r}>"


def request(
    address: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Response:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        return Response(connection.getresponse())
    finally:
        connection.close()


class Account:
    """Somebody's way in by HTTP: a token, and commands and queries by name."""

    def __init__(self, address: str, token: str = "", name: str = "") -> None:
        canaries.keep(token)
        self.address = address
        self.token = token
        self.name = name

    @property
    def id(self) -> str:
        return self.token.partition(".")[0]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def post(self, command: str, key: str | None = None, **fields: Any) -> Response:
        headers = {"Content-Type": "application/json", **self._headers()}
        if key is not None:
            headers["Idempotency-Key"] = key
        canaries.keep_fields(fields)
        response = request(self.address, "POST", f"/api/{command}", json.dumps(fields).encode(), headers)
        if response.status == 200:
            canaries.keep_fields(response.json)
        return response

    def get(self, query: str, **fields: Any) -> Response:
        return request(self.address, "GET", f"/api/{query}?{urlencode(fields, doseq=True)}", None, self._headers())

    def do(self, command: str, key: str | None = None, **fields: Any) -> Any:
        """The acknowledgement; fails the test when it is refused."""
        response = self.post(command, key, **fields)
        assert response.status == 200, (command, fields, response)
        return response.json

    def ask(self, query: str, **fields: Any) -> Any:
        response = self.get(query, **fields)
        assert response.status == 200, (query, fields, response)
        return response.json


def register(address: str, name: str, invite: str | None = None) -> Account:
    fields = {"invite": invite} if invite else {}
    told = Account(address).do("register", name=name, password=PASSWORD, **fields)
    return Account(address, told["token"], name)


async def end_of(websocket: ClientConnection, heard: list[Any] | None = None) -> Close:
    """Hear everything out, and how the server closed it; being cut off without a word fails the test."""
    try:
        while True:
            frame = await asyncio.wait_for(websocket.recv(), 10)
            if heard is not None:
                heard.append(json.loads(frame))
    except ConnectionClosed as end:
        close = end.rcvd
    assert close, "cut off without a word"
    return close


class Talk:
    """A websocket of an account. `heard` keeps every frame in order."""

    _numbers = count(1)

    def __init__(self, account: Account, **options: Any) -> None:
        self.account = account
        self.heard: list[dict[str, Any]] = []
        self.websocket: ClientConnection
        self._options = options

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.account.token}"}
        url = self.account.address.replace("http", "ws", 1) + "/ws"
        self.websocket = await connect(url, additional_headers=headers, **{**UNBOUNDED, **self._options})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.websocket.state is not State.CLOSED:  # asyncio may stumble over a transport that is gone
            await self.websocket.close()

    async def next(self, within: float = 10) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.websocket.recv(), within))
        if frame["type"] == "ack":
            canaries.keep_fields(frame)
        self.heard.append(frame)
        return frame

    async def until(self, **fields: Any) -> dict[str, Any]:
        """The next frame that has these fields."""
        while True:
            frame = await self.next()
            if fields.items() <= frame.items():
                return frame

    async def end(self) -> Close:
        """Hear everything out, and how the server closed it."""
        return await end_of(self.websocket, self.heard)

    async def say(self, type: str, **fields: Any) -> None:
        canaries.keep_fields(fields)
        await self.websocket.send(json.dumps({"type": type, **fields}))

    async def ask(self, type: str, id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Say it, and wait for the frame that answers it."""
        name = id or f"t{next(self._numbers):09d}"
        await self.say(type, id=name, **fields)
        return await self.until(id=name)

    def events(self, room: str) -> list[int]:
        """The seqs heard of a room's events, in the order in which they came."""
        return [frame["seq"] for frame in self.heard if frame.get("room") == room and "by" in frame and "seq" in frame]
