"""Rules of messages: sending, changing, taking back, answering with an emoji, and how far somebody has read."""

import re
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from chat.domain import limits
from chat.domain.accounts import Account, Reading, TakenName
from chat.domain.errors import Refused
from chat.domain.messages import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    MarkRead,
    Mentioned,
    Message,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageSent,
    MessageUnpinned,
    PinMessage,
    ReactionAdded,
    ReactionRemoved,
    RemoveReaction,
    RoomRead,
    SendMessage,
    UnpinMessage,
)
from chat.domain.rooms import Room
from chat.domain.vocabulary import Event
from chat.logic.keys import message_key, name_key, room_key
from chat.logic.mediator import Context
from chat.logic.roles import RANK, permit

MENTION: Final = re.compile(rf"(?<![\w@])@([\w.\-]{{1,{limits.NAME}}})(?![\w@])")

# ---- what may happen


def send_message(room: Room, command: SendMessage, context: Context) -> tuple[Room, list[Event]]:
    permit(room, command, context)
    if command.reply_to is not None:
        answered = context.look(message_key(command.room, command.reply_to), Message)
        _exists(answered, "reply_to")
    return room, [
        MessageSent(
            room=command.room,
            author=context.actor,
            text=command.text,
            reply_to=UNSET if command.reply_to is None else command.reply_to,
            mentions=mentioned_in(command.text, room, context) if "@" in command.text else (),
        )
    ]


def edit_message(message: Message, command: EditMessage, context: Context) -> tuple[Message, list[Event]]:
    """Only its author, and a bounded number of times; whom it mentions was settled when it was sent."""
    _of_room(message, command, context)
    if message.author != context.actor:
        raise Refused("forbidden", "Only its author can edit a message.")
    if message.text == command.text:
        return message, []
    if message.edits is not UNSET and message.edits >= limits.EDITS:
        raise Refused("full", f"A message can be edited {limits.EDITS} times.")
    return message, [MessageEdited(room=command.room, message=command.message, text=command.text)]


def delete_message(message: Message, command: DeleteMessage, context: Context) -> tuple[Message, list[Event]]:
    room = context.look(room_key(command.room), Room)
    role = permit(room, command, context)
    if not message.seq:
        raise Refused("not_found", "There is no such message.", field="message")
    if message.author != context.actor and RANK[role] < RANK["admin"]:
        raise Refused("forbidden", "Only its author and the admins of the room can delete a message.")
    if message.deleted is not UNSET:
        return message, []
    return message, [MessageDeleted(room=command.room, message=command.message)]


def add_reaction(message: Message, command: AddReaction, context: Context) -> tuple[Message, list[Event]]:
    _of_room(message, command, context)
    given = message.reactions
    if context.actor in given.get(command.emoji, ()):
        return message, []
    if command.emoji not in given and len(given) >= limits.REACTION_KINDS:
        raise Refused("full", f"A message has at most {limits.REACTION_KINDS} kinds of reaction.")
    if sum(map(len, given.values())) >= limits.REACTIONS:
        raise Refused("full", f"A message has at most {limits.REACTIONS} reactions.")
    return message, [ReactionAdded(room=command.room, message=command.message, emoji=command.emoji)]


def remove_reaction(message: Message, command: RemoveReaction, context: Context) -> tuple[Message, list[Event]]:
    _of_room(message, command, context)
    if context.actor not in message.reactions.get(command.emoji, ()):
        return message, []
    return message, [ReactionRemoved(room=command.room, message=command.message, emoji=command.emoji)]


def pin_message(message: Message, command: PinMessage, context: Context) -> tuple[Message, list[Event]]:
    room = _of_room(message, command, context)
    if command.message in room.pins:
        return message, []
    if len(room.pins) >= limits.PINS:
        raise Refused("full", f"A room has at most {limits.PINS} pinned messages.")
    return message, [MessagePinned(room=command.room, message=command.message)]


def unpin_message(message: Message, command: UnpinMessage, context: Context) -> tuple[Message, list[Event]]:
    room = _of_room(message, command, context)
    if command.message not in room.pins:
        return message, []
    return message, [MessageUnpinned(room=command.room, message=command.message)]


def mark_read(account: Account, command: MarkRead, context: Context) -> tuple[Account, list[Event]]:
    """Never goes back, and not beyond what the room holds."""
    key = room_key(command.room)
    permit(context.look(key, Room), command, context)
    if command.message > context.states.at(key).seq:
        raise Refused("not_found", "The room is not that far yet.", field="message")
    if command.message <= account.rooms[command.room].read:
        return account, []
    return account, [RoomRead(account=context.actor, room=command.room, message=command.message)]


def mentioned_in(text: str, room: Room, context: Context) -> tuple[str, ...]:
    """The members whose `@name` stands in `text`; a dot or dash at its end may belong to the sentence."""
    found = MENTION.findall(text)
    names = list(dict.fromkeys(form for name in found for form in (name, name.rstrip(".-")) if form))
    keys = [name_key(name) for name in names[: 2 * limits.MENTIONS]]
    accounts = (taken.account for taken in context.look_all(keys, TakenName))
    members = [account for account in dict.fromkeys(accounts) if account in room.members]
    return tuple(members[: limits.MENTIONS])


def _of_room(
    message: Message,
    command: EditMessage | AddReaction | RemoveReaction | PinMessage | UnpinMessage,
    context: Context,
) -> Room:
    """The message's room, where the asker may do this and the message is there."""
    room = context.look(room_key(command.room), Room)
    permit(room, command, context)
    _exists(message, "message")
    return room


def _exists(message: Message, field: str) -> None:
    if not message.seq or message.deleted is not UNSET:
        raise Refused("not_found", "There is no such message.", field=field)


# ---- what has happened


def last_message(room: Room, event: MessageSent, _: Context) -> tuple[Room, list[Event]]:
    return replace(room, last=event.seq), []


def message_sent(_: Message, event: MessageSent, __: Context) -> tuple[Message, list[Event]]:
    """The message as it stands; those whom it mentions are told."""
    sent = Message(
        seq=event.seq,
        author=event.author,
        at=event.at,
        text=event.text,
        reply_to=event.reply_to,
        mentions=event.mentions,
        deleted=event.deleted,
    )
    return sent, [
        Mentioned(account=account, room=event.room, message=event.seq)
        for account in event.mentions
        if account != event.author
    ]


def message_edited(message: Message, event: MessageEdited, _: Context) -> tuple[Message, list[Event]]:
    edits = 0 if message.edits is UNSET else message.edits
    return replace(message, text=event.text, edited_at=event.at, edits=edits + 1), []


def message_deleted(message: Message, _: MessageDeleted, __: Context) -> tuple[Message, list[Event]]:
    return replace(message, text="", deleted=True, mentions=(), reactions={}, pinned=UNSET), []


def pin_dropped(room: Room, event: MessageDeleted | MessageUnpinned, _: Context) -> tuple[Room, list[Event]]:
    return replace(room, pins=tuple(pin for pin in room.pins if pin != event.message)), []


def pin_added(room: Room, event: MessagePinned, _: Context) -> tuple[Room, list[Event]]:
    return replace(room, pins=(*room.pins, event.message)), []


def message_pinned(message: Message, _: MessagePinned, __: Context) -> tuple[Message, list[Event]]:
    return replace(message, pinned=True), []


def message_unpinned(message: Message, _: MessageUnpinned, __: Context) -> tuple[Message, list[Event]]:
    return replace(message, pinned=UNSET), []


def reaction_added(message: Message, event: ReactionAdded, _: Context) -> tuple[Message, list[Event]]:
    givers = (*message.reactions.get(event.emoji, ()), event.by)
    return replace(message, reactions=message.reactions | {event.emoji: givers}), []


def reaction_removed(message: Message, event: ReactionRemoved, _: Context) -> tuple[Message, list[Event]]:
    left = tuple(giver for giver in message.reactions[event.emoji] if giver != event.by)
    reactions = message.reactions | {event.emoji: left}
    return replace(message, reactions={emoji: givers for emoji, givers in reactions.items() if givers}), []


def mentioned(account: Account, event: Mentioned, _: Context) -> tuple[Account, list[Event]]:
    """Kept until read, the newest of them, while the account is in the room."""
    if (reading := account.rooms.get(event.room)) is None:
        return account, []
    mentions = (*reading.mentions, event.message)[-limits.UNREAD :]
    return replace(account, rooms=account.rooms | {event.room: replace(reading, mentions=mentions)}), []


def room_read(account: Account, event: RoomRead, _: Context) -> tuple[Account, list[Event]]:
    unread = tuple(seq for seq in account.rooms[event.room].mentions if seq > event.message)
    reading = Reading(read=event.message, mentions=unread)
    return replace(account, rooms=account.rooms | {event.room: reading}), []
