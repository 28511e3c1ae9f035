"""What the edge itself answers, in the shape of every other refusal: problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any, Final

import msgspec

from chat.domain.errors import Refused

HEALTH: Final = frozenset({"/healthz", "/readyz", "/metrics"})

Headers = list[tuple[bytes, bytes]]


def problem(refusal: Refused, status: int | None = None) -> tuple[int, Headers, bytes]:
    """The connection ends with it. The status is the code's, unless another one is given."""
    status = status or refusal.status
    content: dict[str, Any] = {"title": refusal.code, "status": status, "code": refusal.code, "detail": refusal.detail}
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if refusal.retry_after is not None:
        content["retry_after"] = refusal.retry_after
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    body = msgspec.json.encode(content)
    headers += [(b"content-length", b"%d" % len(body)), (b"x-content-type-options", b"nosniff")]
    return status, [*headers, (b"connection", b"close")], body


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
