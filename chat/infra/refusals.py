"""What the edge itself answers, in the shape of every other refusal."""

from http import HTTPStatus
from typing import Any, Final

import msgspec

from chat.domain.errors import Refused, problem_of

HEALTH: Final = frozenset({"/healthz", "/readyz", "/metrics"})

Headers = list[tuple[bytes, bytes]]


def problem(refusal: Refused, status: int | None = None) -> tuple[int, Headers, bytes]:
    """Status, headers and body. The connection ends with it."""
    status, told, content = problem_of(refusal, status)
    body = msgspec.json.encode(content)
    told |= {"Content-Length": str(len(body)), "X-Content-Type-Options": "nosniff", "Connection": "close"}
    return status, [(name.lower().encode(), value.encode()) for name, value in told.items()], body


def written(refusal: Refused, status: int | None = None) -> bytes:
    """As it goes over the wire."""
    status, headers, body = problem(refusal, status)
    head = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
    return head + b"".join([b"%s: %s\r\n" % pair for pair in headers]) + b"\r\n" + body


def refusing(app: Any, refusal: Refused) -> Any:
    """An ASGI application that refuses everything but health checks."""
    status, headers, body = problem(refusal)

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in HEALTH:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return wrapped
