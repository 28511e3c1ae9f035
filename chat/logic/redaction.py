"""Deleted means gone: which events hold something that can be taken back, and which event takes it back.

`about` names what an event tells of, where that can be erased. An event in `ERASES` erases every earlier event about
the same: they stay in their places, with these fields blank.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from chat.domain.accounts import PasswordSet, SessionEnded, TokenIssued
from chat.domain.messages import MessageDeleted, MessageEdited, MessageSent
from chat.domain.vocabulary import Event
from chat.logic import keys


def password(event: PasswordSet) -> str:
    return f"password:{event.account}"


def session(event: TokenIssued | SessionEnded) -> str:
    return f"session:{event.account}:{event.session}"


ABOUT: Final[dict[type[Event], Callable[[Any], str]]] = {
    MessageSent: keys.sent_message,
    MessageEdited: keys.message,
    PasswordSet: password,
    TokenIssued: session,
}
ERASES: Final[dict[type[Event], Callable[[Any], str]]] = {
    MessageDeleted: keys.message,
    PasswordSet: password,
    SessionEnded: session,
}
BLANK: Final[dict[type[Event], dict[str, Any]]] = {
    MessageSent: {"text": "", "mentions": (), "deleted": True},
    MessageEdited: {"text": ""},
    PasswordSet: {"password": ""},
    TokenIssued: {"token": ""},
}


def about(event: Event) -> str | None:
    name = ABOUT.get(type(event))
    return str(name(event)) if name else None


def erases(event: Event) -> str | None:
    name = ERASES.get(type(event))
    return str(name(event)) if name else None


def redacted(event: Event) -> Event:
    return replace(event, **BLANK[type(event)])
