"""Who asks: a bearer token or a cookie, made into an account and its session.

A token is `<account>.<secret>`. It is known by the secret's hash, which stands in the account's state.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple
from weakref import WeakSet

import structlog
from starlette.requests import HTTPConnection

from chat.application.node import Node
from chat.domain.accounts import Account
from chat.domain.addresses import place_of, read_address
from chat.domain.errors import Refused
from chat.logic.keys import account_key
from chat.logic.mediator import Context
from chat.logic.origins import Asked
from chat.logic.sessions import living_session

log = structlog.get_logger(__name__)

_warned: Final["WeakSet[Node]"] = WeakSet()  # of a proxy that nobody named
_place_of: Final = lru_cache(maxsize=4_096)(place_of)  # the same few ask again and again


class Asker(NamedTuple):
    """Empty for somebody who is not logged in. `expires` is the session's end."""

    account: str = ""
    session: str = ""
    expires: str = ""


def cookie_name(connection: HTTPConnection) -> str:
    """`__Host-` binds the cookie to this very host; browsers take it on https alone (RFC 6265bis, 4.1.3.2)."""
    return "__Host-session" if connection.scope["scheme"] in ("https", "wss") else "session"


class Credentials(NamedTuple):
    token: str = ""
    cookie: bool = False  # a browser sends it by itself, whoever asks


def credentials_of(connection: HTTPConnection) -> Credentials:
    """A bearer token, even an empty one, wins over the cookie."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Credentials(token.strip())
    cookie = connection.cookies.get(cookie_name(connection))
    return Credentials() if cookie is None else Credentials(cookie, cookie=True)


def host_of(connection: HTTPConnection) -> str:
    """The asker's address: of IPv4 also where it came by IPv6, and without a network card's name; a text that is no
    address as it stands.
    """
    host = connection.client.host if connection.client else ""
    return str(read_address(host) or host)


def address_of(connection: HTTPConnection) -> str:
    """Where the asker is, for limits."""
    client = connection.scope.get("client")
    return _place_of(client[0] if client else "")


def is_proxy(host: str, proxies: Iterable[str]) -> bool:
    address = read_address(host)
    return address is not None and any(address in ip_network(proxy) for proxy in proxies)


def warn_of_proxy(connection: HTTPConnection, node: Node) -> None:
    """Once for each node: visitors who come through a proxy that nobody named look like one. Of a named one the server
    has put the visitor, as the header names them, in the proxy's place.
    """
    told = ",".join(connection.headers.getlist("x-forwarded-for"))
    if not told or node in _warned:
        return
    host = connection.client.host if connection.client else ""
    if host not in told and not is_proxy(host, node.settings.proxies):
        _warned.add(node)
        log.warning(
            "X-Forwarded-For came from an address that --proxies does not name; if it is your proxy's, name it "
            "(--proxies or CHAT_PROXIES): until then all its visitors share one address and its limits",
            address=host,
        )


def asked(connection: HTTPConnection) -> Asked:
    headers = connection.headers
    return Asked(
        method=connection.scope.get("method", "GET"),
        host=headers.get("host", "").lower(),
        origin=", ".join(headers.getlist("origin")) if "origin" in headers else None,
        fetch_site=headers.get("sec-fetch-site"),
        cookie=credentials_of(connection).cookie,
        secure=connection.scope["scheme"] in ("https", "wss"),
    )


async def who_asks(connection: HTTPConnection, node: Node) -> Asker:
    """Raises as `who_has` does."""
    warn_of_proxy(connection, node)
    return await who_has(credentials_of(connection).token, node, address_of(connection))


async def who_has(token: str, node: Node, address: str) -> Asker:
    """A token that is no good asks for nobody. One that is not known here may have been given by another node a moment
    ago: the store is asked, and the address pays for it, so that nobody does that without end.

    Raises `Refused` `too_fast`, `busy`, `unavailable`.
    """
    account, _, secret = token.partition(".")
    is_readable = bool(secret) and account.isalnum() and len(token) <= 200
    if not is_readable:
        return Asker()
    is_at_hand = node.cache.get(account_key(account)) is not None
    if is_at_hand:
        asker = await _known(node, account, secret)
        if asker.account:
            return asker
    node.allowances.strangers.spend(address)
    async with node.allowances.lookups.of(address):
        if is_at_hand:
            await node.follower.keep_up()
        return await _known(node, account, secret)


async def _known(node: Node, account: str, secret: str) -> Asker:
    hashed = node.tokens.hash(secret)
    return await node.reading.consult(lambda context: _asker(account, hashed, context))


def _asker(name: str, hashed: str, context: Context) -> Asker:
    account = context.look(account_key(name), Account)
    session = living_session(account, hashed, context.now)
    return Asker(name, session, account.sessions[session].expires) if session else Asker()


def must_be(asker: Asker) -> Asker:
    if not asker.account:
        raise Refused("unauthenticated")
    return asker
