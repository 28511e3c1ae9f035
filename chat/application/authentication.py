"""Who asks: a bearer token or a cookie, made into an account and its session.

A token is `<account>.<secret>`. It is known by the secret's hash, which stands in the account's state.
"""

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from starlette.requests import HTTPConnection

from chat.application.node import Node
from chat.domain.accounts import Account
from chat.domain.errors import Refused
from chat.logic.keys import account_key
from chat.logic.mediator import Context
from chat.logic.origins import Asked
from chat.logic.sessions import living_session


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
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)


def address_of(connection: HTTPConnection) -> str:
    """Where the asker is, for limits: one IPv4 address, or the /64 that is one IPv6 connection."""
    host = host_of(connection)
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return ":".join(address.exploded.split(":")[:4]) if isinstance(address, IPv6Address) else host


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
    """A token that is no good asks for nobody. Whoever brings none, or one of an account that is not at hand, spends of
    what its address is allowed: so nobody makes the store look for things that are not there without end.

    Raises `Refused` `too_fast`, `unavailable`.
    """
    token = credentials_of(connection).token
    account, _, secret = token.partition(".")
    is_readable = bool(secret) and account.isalnum() and len(token) <= 200
    if not is_readable or not node.cache.get(account_key(account)):
        node.allowances.strangers.spend(address_of(connection))
    if not is_readable:
        return Asker()
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
