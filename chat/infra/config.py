"""Settings from the command line and the environment; the flag wins.

A wrong value ends the program with status 2 and one line: the setting, the value, what is allowed.
"""

import argparse
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import urlsplit


class Wrong(Exception):
    """What is allowed instead."""


class Option(NamedTuple):
    """A flag, its variable in the environment, its default, how it is read, and what to say of it."""

    name: str
    default: str
    read: Callable[[str], Any]
    help: str

    @property
    def variable(self) -> str:
        return f"CHAT_{self.name.upper()}"


def _number(least: float, most: float, kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise Wrong(f"a number from {least:g} to {most:g}")
        return number

    return read


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise Wrong(", ".join(filter(None, allowed)))
        return text

    return read


def _host(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise Wrong("an address or a host name")
    return text


def _database(text: str) -> str:
    if text == "memory:" or (text.startswith("sqlite:") and text != "sqlite:") or _is_url(text, "postgresql"):
        return text
    raise Wrong("sqlite:<path>, postgresql://user:password@host/name (with %2F for a / in them), or memory:")


def _broker(text: str) -> str:
    if text == "local:" or (_is_url(text, "amqp", "amqps") and urlsplit(text).hostname):
        return text
    raise Wrong("local:, amqp://user:password@host/ (with %2F for a / in them) or amqps://…")


def _is_url(text: str, *schemes: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in schemes and text.startswith(f"{url.scheme}://") and url.port != 0
    except ValueError:
        return False


def without_password(url: str) -> str:
    """A setting as it may be shown."""
    head, at, rest = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    if at and slashes:
        url = f"{scheme}://{user.partition(':')[0]}@{rest}"
    return re.sub(r"(?i)([?&][^=&]*password[^=&]*=)[^&]*", r"\1…", url)


def _items(text: str) -> list[str]:
    return [item for item in text.replace(",", " ").split() if item]


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(item.rstrip("/").lower() for item in _items(text))
    if not all(map(_is_origin, origins)):
        raise Wrong("origins such as https://chat.example.org, separated by commas")
    return origins


def _is_origin(text: str) -> bool:
    try:
        scheme, host, *rest = urlsplit(text)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host) and not any(rest)


def _proxies(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(item, strict=False)) for item in _items(text))
    except ValueError:
        raise Wrong("addresses or networks such as 10.0.0.0/8, separated by commas") from None


OPTIONS: Final = (
    Option("host", "127.0.0.1", _host, "address to listen on"),
    Option("port", "8000", _number(0, 65_535, int), "port to listen on; 0 picks a free one"),
    Option("database", "sqlite:chat.db", _database, "sqlite:<path>, postgresql://…, or memory: to keep nothing"),
    Option("broker", "local:", _broker, "local: for one node, amqp://… for several and for other programs"),
    Option(
        "registration",
        "invite",
        _one_of("invite", "open", "closed"),
        "who may register: invite, open, closed",
    ),
    Option(
        "rate",
        "20",
        _number(0, 1e6, float),
        "commands a second for each account; 0 lifts every limit of this kind",
    ),
    Option("sockets", "10000", _number(1, 1e6, int), "open connections in all"),
    Option("origins", "", _origins, "pages that may connect; by default those of this host and port"),
    Option("proxies", "", _proxies, "addresses or networks whose X-Forwarded-For and -Proto are believed"),
    Option("log", "", _one_of("", "console", "json"), "console or json; by default console on a terminal"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    for option in OPTIONS:
        told = f"{option.help} (default: {option.default or 'none'}; {option.variable})"
        parser.add_argument(f"--{option.name}", metavar="…", default=argparse.SUPPRESS, help=told)


def read_options(flags: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Raises `SystemExit` with status 2 at the first wrong value, after one line that names it."""
    settings = {}
    for option in OPTIONS:
        text = flags.get(option.name)
        if text is None:
            text = environment.get(option.variable) or option.default
        try:
            settings[option.name] = option.read(text)
        except Wrong as wrong:
            fail(f"--{option.name} ({option.variable}) is {without_password(text)!r}; allowed: {wrong}")
    if not settings["log"]:
        settings["log"] = "console" if sys.stderr.isatty() else "json"
    return settings


def read_database(flag: str, text: str) -> str:
    """A database that is named beside the settings. Raises `SystemExit` as `read_options` does."""
    try:
        return _database(text)
    except Wrong as wrong:
        fail(f"{flag} is {without_password(text)!r}; allowed: {wrong}")


def fail(sentence: str, status: int = 2) -> NoReturn:
    """One line, and the end."""
    print(f"chat: {sentence}", file=sys.stderr)
    raise SystemExit(status)


def parser(
    commands: Mapping[str, str], arguments: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> argparse.ArgumentParser:
    """`commands` tells each command's purpose; `arguments` what it takes beside the options, by name, as argparse
    wants to know it."""
    top = argparse.ArgumentParser(
        prog="chat.py",
        description="A self-hosted real-time chat. Without a command, it serves.",
        allow_abbrev=False,
    )
    add_options(top)
    subparsers = top.add_subparsers(dest="command", metavar="command", title="commands")
    for name, purpose in commands.items():
        sub = subparsers.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        for argument, details in arguments.get(name, {}).items():
            sub.add_argument(argument, **details)
        add_options(sub)
    return top
