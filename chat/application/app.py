"""The ASGI application: the HTTP routes, the websocket, and the headers that every answer carries."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import ceil
from typing import Any, Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from chat.application import authentication, doors, http, metrics
from chat.application.buckets import too_fast
from chat.application.connection import Connection
from chat.application.node import Node
from chat.domain.addresses import read_address
from chat.domain.errors import Refused
from chat.logic import websocket as talk
from chat.logic.origins import may_connect

WRITER: Final = "chat.writer"  # the extension by which the server offers the one way to write

HEADERS: Final = {
    b"cache-control": b"no-cache",  # a client of one version is never mixed of two
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
}

Talking = Callable[[WebSocket], Awaitable[None]]

MONITORED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
LATE: Final = 2.0  # seconds

# What a connection that gets no hello is closed with; anything else passes, so come back in a second.
WHY_NOT: Final = {
    "unauthenticated": (talk.UNAUTHENTICATED, "log in first"),
    "full": (talk.TOO_MANY, "too many connections"),
}


def why_not(refusal: Refused) -> tuple[int, str]:
    """The code to close with, and the reason; it is a number of milliseconds where one is known."""
    if refusal.code == "too_fast":
        return talk.TOO_MANY, str(ceil(1_000 * (refusal.retry_after or 0)))
    return WHY_NOT.get(refusal.code, (talk.RESTARTING, "1000"))


def application(node: Node, numbers: CollectorRegistry | None = None) -> ASGIApp:
    """`numbers` is what monitors are told; by default, what the node knows of itself."""
    decoder = doors.frame_decoder(node.tables)

    async def talk_to(websocket: WebSocket) -> None:
        await serve(websocket, node, decoder)

    routes = http.routes(node, numbers or metrics.numbers_of(node))
    searched = Starlette(routes=routes, exception_handlers={HTTPException: http.unknown})
    return with_headers(paced(straight(routes, talk_to, searched), node))


def straight(routes: Iterable[BaseRoute], talk_to: Talking, searched: ASGIApp) -> ASGIApp:
    """To the endpoint whose path and method are asked for to the letter, as nearly all are. What is left is looked for
    as ever, one pattern after the other: that costs more than most answers, and what it keeps waiting on the way would
    be a third of an open websocket.
    """
    plain = [route for route in routes if isinstance(route, Route)]
    endpoints = {(method, route.path): route.endpoint for route in plain for method in route.methods or ()}

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            await talk_to(WebSocket(scope, receive, send))
        elif (endpoint := endpoints.get((scope.get("method", ""), scope["path"]))) is None:
            await searched(scope, receive, send)
        else:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

    return wrapped


def paced(app: ASGIApp, node: Node) -> ASGIApp:
    """What an address asks too fast is refused late, as to refuse costs nearly as much as to answer."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        wait = _wait_of(HTTPConnection(scope), node)
        if not wait:
            await app(scope, receive, send)
            return
        await asyncio.sleep(LATE)
        refusal = http.refusal_response(too_fast(wait))
        if scope["type"] == "websocket":
            node.counts.turned_away["too_fast"] += 1
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await refusal(scope, receive, send)

    return wrapped


def _wait_of(connection: HTTPConnection, node: Node) -> float:
    """This machine's own monitors may ask as they like."""
    if connection.scope["path"] not in MONITORED:
        return node.allowances.requests.take(authentication.address_of(connection))
    near = read_address(authentication.host_of(connection))
    return 0.0 if near and near.is_loopback else node.allowances.monitors.take(authentication.address_of(connection))


def with_headers(app: ASGIApp) -> ASGIApp:
    """Plain ASGI: a middleware that would run the application in a task of its own also cancels it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = dict(message["headers"])
                message["headers"] += [pair for pair in HEADERS.items() if pair[0] not in present]
            await send(message)

        await app(scope, receive, sending if scope["type"] == "http" else send)

    return wrapped


async def serve(websocket: WebSocket, node: Node, decoder: Any) -> None:
    """One websocket from its handshake to its end.

    Browsers cannot read the status of a handshake, so what is wrong with a session is told by a close code.
    """
    if not may_connect(authentication.asked(websocket), node.settings.origins):
        node.counts.turned_away["forbidden"] += 1
        await websocket.close()  # before accepting: 403
        return
    await websocket.accept()
    wire = websocket.scope["extensions"][WRITER]
    try:
        if node.draining:
            raise Refused("unavailable")
        asker = authentication.must_be(await authentication.who_asks(websocket, node))
        await Connection(node, wire, asker, decoder, authentication.address_of(websocket)).serve()
    except Refused as refusal:
        node.counts.turned_away[refusal.code] += 1
        wire.hang_up(*why_not(refusal))
