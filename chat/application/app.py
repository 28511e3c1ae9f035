"""The ASGI application: the HTTP routes, the websocket, and the headers that every answer carries."""

from typing import Any, Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from chat.application import authentication, doors, http, metrics
from chat.application.connection import Connection
from chat.application.node import Node
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

# What a connection that gets no hello is closed with; anything else passes, so come back in a second.
WHY_NOT: Final = {
    "unauthenticated": (talk.UNAUTHENTICATED, "log in first"),
    "full": (talk.TOO_MANY, "too many connections"),
    "too_fast": (talk.TOO_MANY, "too many connections"),
}


def application(node: Node, numbers: CollectorRegistry | None = None) -> ASGIApp:
    """`numbers` is what monitors are told; by default, what the node knows of itself."""
    decoder = doors.frame_decoder(node.tables)

    async def endpoint(websocket: WebSocket) -> None:
        await serve(websocket, node, decoder)

    routes = [WebSocketRoute("/ws", endpoint), *http.routes(node, numbers or metrics.numbers_of(node))]
    return with_headers(Starlette(routes=routes, exception_handlers={HTTPException: http.unknown}))


def with_headers(app: ASGIApp) -> ASGIApp:
    """Plain ASGI: a middleware that would run the application in a task of its own also cancels it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
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
        wire.hang_up(*WHY_NOT.get(refusal.code, (talk.RESTARTING, "1000")))
