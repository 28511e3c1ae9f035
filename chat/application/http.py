"""HTTP: commands by POST, questions by GET, health, and the pages. Which there are is read off the mediator's tables.

POST /api/<command>          a JSON object; `Idempotency-Key` is its id
GET  /api/<query>?field=…
GET  /healthz  /readyz       the process lives; this node wants traffic
GET  /metrics                its numbers, for monitors nearby
GET  /                       the web client, whose files are under /web/
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog
from msgspec.structs import replace
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from chat.application import authentication, doors, metrics
from chat.application.codec import encode
from chat.application.node import Node
from chat.application.web_files import WebFiles
from chat.domain import limits
from chat.domain.accounts import LogInForm, LogOut, RegisterForm
from chat.domain.errors import Refused, StoreError, problem_of
from chat.domain.vocabulary import Command, Query
from chat.logic.doors import UNREADABLE, from_strings, malformed, one_decoder
from chat.logic.origins import is_rebound, may_write

WEB: Final = WebFiles(directory=Path(__file__).parent / "web")
BODY_WITHIN: Final = 20.0  # seconds that a body may take to arrive
SESSION_SECONDS: Final = limits.SESSION_DAYS * 24 * 3600

log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(node: Node, numbers: CollectorRegistry) -> list[BaseRoute]:
    commands = doors.http_commands(node.tables)
    queries = doors.http_queries(node.tables)
    return [
        *(Route(f"/api/{tag}", refusing(_command(node, kind)), methods=["POST"]) for tag, kind in commands.items()),
        *(Route(f"/api/{tag}", refusing(_query(node, kind)), methods=["GET"]) for tag, kind in queries.items()),
        Route("/healthz", refusing(_health)),
        Route("/readyz", refusing(_readiness(node))),
        Route("/metrics", refusing(_metrics(node, numbers))),
        Route("/", refusing(_page)),
        Mount("/web", WEB),
    ]


# ---- answers


def json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = content if isinstance(content, bytes) else encode(content)
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def refusal_response(refusal: Refused, status: int | None = None) -> Response:
    """The status is the code's, unless another one is given."""
    status, headers, content = problem_of(refusal, status)
    return Response(encode(content), status, headers)


async def unknown(request: Request, error: Exception) -> Response:
    """What the router says to a path or a method that it does not know."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    if error.status_code == 405:
        refusal = Refused("malformed", f"{path} does not take {request.method}.", field="method")
    else:
        refusal = Refused("not_found", f"There is no {request.method} {path}.")
    response = refusal_response(refusal, error.status_code)
    response.headers.update(error.headers or {})
    return response


def refusing(endpoint: Endpoint) -> Endpoint:
    """Every refusal becomes an answer; so does what breaks, and that is logged."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refusal:
            return refusal_response(refusal)
        except StoreError:
            return refusal_response(Refused("unavailable", retry_after=1.0))
        except ClientDisconnect:
            return Response()  # that nobody reads
        except Exception:
            log.exception("a request broke", path=request.scope["path"])
            return refusal_response(Refused("internal"))

    return answer


# ---- commands


def _command(node: Node, kind: type[Command]) -> Endpoint:
    decoder = one_decoder(kind)

    async def endpoint(request: Request) -> Response:
        asker = await authentication.who_asks(request, node)
        asked, settings = authentication.asked(request), node.settings
        if not may_write(asked, settings.origins):
            raise Refused("forbidden", "This page may not act here: its origin is not allowed.")
        if kind is RegisterForm and is_rebound(asked.host, settings.host, settings.origins, settings.proxies):
            raise Refused("forbidden", "Use the address that the chat printed, or name this one's page by --origins.")
        body = await _body(request)
        if kind not in doors.WITHOUT_ACCOUNT:
            authentication.must_be(asker)
        try:
            command = decoder.decode(body)
        except UNREADABLE as error:
            raise malformed(error) from None
        command = replace(command, id=_id(request, command, node))
        outcome = await node.do(command, asker.account, asker.session, authentication.address_of(request))
        return _acknowledged(request, kind, outcome)

    return endpoint


async def _body(request: Request) -> bytes:
    """At most 64 KiB of JSON. Raises `Refused`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("malformed", "The content type has to be application/json.", field="content-type")
    body = b""
    try:
        async with asyncio.timeout(BODY_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.BODY:
                    raise Refused("too_large", f"A body has at most {limits.BODY} bytes.")
    except TimeoutError:
        raise Refused("malformed", f"The body has to arrive within {BODY_WITHIN:g} seconds.") from None
    return body


def _id(request: Request, command: Command, node: Node) -> str:
    """The sender's id; a sender without one cannot ask again, and gets one that is nobody else's."""
    key = request.headers.get("idempotency-key")
    if type(command) in doors.WITHOUT_ACCOUNT:
        return node.ids.fresh()  # nobody's yet, so that nobody can repeat it
    if key is None:
        return command.id or node.ids.fresh()
    if not key or len(key) > 64 or not key.isascii() or not key.isprintable():
        raise Refused("malformed", "1 to 64 printable ASCII characters.", field="idempotency-key")
    return key


def _acknowledged(request: Request, kind: type[Command], outcome: bytes) -> Response:
    if kind in (RegisterForm, LogInForm):
        token = one_decoder(dict[str, Any]).decode(outcome)
        response = json({"token": token["token"], "account": token["account"]})
        _set_cookie(request, response, token["token"], SESSION_SECONDS)
        return response
    response = json(outcome)
    if kind is LogOut:
        _set_cookie(request, response, "", 0)
    return response


def _set_cookie(request: Request, response: Response, token: str, age: int) -> None:
    name = authentication.cookie_name(request)
    secure = name.startswith("__Host-")
    response.set_cookie(name, token, max_age=age, path="/", secure=secure, httponly=True, samesite="lax")


# ---- questions


def _query(node: Node, kind: type[Query]) -> Endpoint:
    lists = doors.list_fields(kind)

    async def endpoint(request: Request) -> Response:
        asker = await authentication.who_asks(request, node)
        if kind not in doors.WITHOUT_ACCOUNT:
            authentication.must_be(asker)
        given = request.query_params
        fields: dict[str, str | list[str]] = {
            name: given.getlist(name) if name in lists else given[name] for name in given
        }
        return json(await node.ask(from_strings(kind, fields), asker.account, asker.session))

    return endpoint


# ---- health and pages


async def _health(_: Request) -> Response:
    return json({"status": "ok"})


def _readiness(node: Node) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return json(await node.ready())

    return endpoint


def _metrics(node: Node, numbers: CollectorRegistry) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if not metrics.may_read(request, node.settings.proxies):
            raise Refused("not_found")
        return Response(generate_latest(numbers), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return endpoint


async def _page(request: Request) -> Response:
    return await WEB.get_response("index.html", request.scope)
