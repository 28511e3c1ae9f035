"""What whoever runs the chat may choose, as the flow sees it."""

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True):
    """`rate` is in commands a second for each account; 0 lifts every limit of that kind."""

    host: str = "127.0.0.1"
    port: int = 8000
    database: str = "sqlite:chat.db"
    broker: str = "local:"
    registration: str = "invite"
    rate: float = 20
    sockets: int = 10_000
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    log: str = "json"
