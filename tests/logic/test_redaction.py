"""Deleted means gone: which events hold something that can be taken back, and which take it back."""

import pytest

from chat.domain.accounts import PasswordSet, SessionEnded, SessionStarted, TokenIssued
from chat.domain.messages import Mentioned, MessageDeleted, MessageEdited, MessagePinned, MessageSent
from chat.domain.vocabulary import Event
from chat.logic.redaction import about, erases, redacted
from tests.logic.given import NOW

MESSAGE = "message:tea:0000000000000005"
SENT = MessageSent(room="tea", seq=5, at=NOW, by="ann", author="ann", text="hi @bob", mentions=("bob",), reply_to=3)
EDITED = MessageEdited(room="tea", seq=6, at=NOW, by="ann", message=5, text="ho")
PASSWORD = PasswordSet(account="ann", password="hash", one_time=True)
TOKEN = TokenIssued(account="ann", session="here", token="hash", expires=NOW)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (SENT, MESSAGE),
        (EDITED, MESSAGE),
        (PASSWORD, "password:ann"),
        (TOKEN, "session:ann:here"),
        (MessageDeleted(room="tea", message=5), None),
        (Mentioned(account="bob", room="tea", message=5), None),
        (SessionStarted(account="ann", session="here", expires=NOW), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_taken_back_says_what_it_is_about(event: Event, name: str | None) -> None:
    assert about(event) == name


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (MessageDeleted(room="tea", message=5), MESSAGE),
        (PASSWORD, "password:ann"),
        (SessionEnded(account="ann", session="here"), "session:ann:here"),
        (SENT, None),
        (EDITED, None),
        (TOKEN, None),
        (MessagePinned(room="tea", message=5), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_takes_back_says_what_it_erases(event: Event, name: str | None) -> None:
    assert erases(event) == name


def test_a_redacted_message_says_no_more_than_that_it_was_there() -> None:
    assert redacted(SENT) == MessageSent(
        room="tea", seq=5, at=NOW, by="ann", author="ann", text="", deleted=True, reply_to=3
    )
    assert redacted(EDITED) == MessageEdited(room="tea", seq=6, at=NOW, by="ann", message=5, text="")


def test_a_redacted_secret_is_blank() -> None:
    assert redacted(PASSWORD) == PasswordSet(account="ann", password="", one_time=True)
    assert redacted(TOKEN) == TokenIssued(account="ann", session="here", token="", expires=NOW)
