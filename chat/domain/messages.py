"""A message, named by its room and the seq of its `message_sent`."""

from msgspec import UNSET, UnsetType, field

from chat.domain.limits import Emoji, Id, Integer, PageLength, Seq, Text, Words
from chat.domain.vocabulary import AccountEvent, Command, Query, RoomEvent, State


class Message(State, frozen=True, kw_only=True):
    """Encoded, it is a row of a page as clients get it. `seq` is 0 until the message is sent."""

    seq: int = 0
    author: str = ""
    at: str = ""
    text: str = ""
    edited_at: str | UnsetType = UNSET
    edits: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    reply_to: int | UnsetType = UNSET
    mentions: tuple[str, ...] = ()
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: bool | UnsetType = UNSET


class SendMessage(Command, frozen=True, kw_only=True):
    room: Id
    text: Text
    reply_to: Seq | None = None


class EditMessage(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq
    text: Text


class DeleteMessage(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq


class AddReaction(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq
    emoji: Emoji


class RemoveReaction(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq
    emoji: Emoji


class PinMessage(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq


class UnpinMessage(Command, frozen=True, kw_only=True):
    room: Id
    message: Seq


class MarkRead(Command, frozen=True, kw_only=True):
    """Everything up to `message` is read; never goes back."""

    room: Id
    message: Seq


class MessageSent(RoomEvent, frozen=True, kw_only=True):
    author: str
    text: str
    reply_to: int | UnsetType = UNSET
    mentions: tuple[str, ...] = ()
    deleted: bool | UnsetType = UNSET  # redacted: the text is gone


class MessageEdited(RoomEvent, frozen=True, kw_only=True):
    message: int
    text: str


class MessageDeleted(RoomEvent, frozen=True, kw_only=True):
    message: int


class ReactionAdded(RoomEvent, frozen=True, kw_only=True):
    message: int
    emoji: str


class ReactionRemoved(RoomEvent, frozen=True, kw_only=True):
    message: int
    emoji: str


class MessagePinned(RoomEvent, frozen=True, kw_only=True):
    message: int


class MessageUnpinned(RoomEvent, frozen=True, kw_only=True):
    message: int


class Mentioned(AccountEvent, frozen=True, kw_only=True):
    room: str
    message: int


class RoomRead(AccountEvent, frozen=True, kw_only=True):
    room: str
    message: int


class ListMessages(Query, frozen=True, kw_only=True):
    """A page, oldest first: the newest, or those before, after, or around a seq."""

    room: Id
    before: Integer | None = None
    after: Integer | None = None
    around: Integer | None = None
    limit: PageLength = 50


class SearchMessages(Query, frozen=True, kw_only=True):
    """Messages of the asker's rooms that hold every word of `text`, newest first. `before` is a position."""

    text: Words
    room: Id | None = None
    author: Id | None = None
    before: Integer | None = None
    limit: PageLength = 20
