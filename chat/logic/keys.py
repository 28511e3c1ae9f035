"""Keys: what a state is called.

A key is `<kind>:<id>`, and the kind says what type the state is of. A message's seq is padded, so that the keys of a
room's messages sort as its messages do and a page of history is a range of keys. A name is folded (NFKC, casefold),
so that two names that read the same are the same.

The functions of a message and its context are for the mediator's tables. One for an event may say None: this event
does not concern such a key.
"""

from typing import Any
from unicodedata import normalize

from msgspec import UNSET

from chat.domain.messages import MessageSent
from chat.domain.rooms import OpenDirect, RoomCreated
from chat.logic.mediator import Context, New


def room_key(room: str) -> str:
    return f"room:{room}"


def account_key(account: str) -> str:
    return f"account:{account}"


def message_key(room: str, seq: int) -> str:
    return f"message:{room}:{seq:016d}"


def name_key(name: str) -> str:
    return f"name:{fold_name(name)}"


def invite_key(invite: str) -> str:
    return f"invite:{invite}"


def direct_key(one: str, other: str) -> str:
    return "direct:{}:{}".format(*sorted((one, other)))


SERVER = "server:"


def fold_name(name: str) -> str:
    return normalize("NFKC", normalize("NFKC", name).casefold())


def id_of(key: str) -> str:
    """What stands behind the kind: the id of a room, an account, an invitation."""
    return key.partition(":")[2]


# Of a command or query, in its context. `Any`: each is wired to messages that have the field it reads.


def room(message: Any, _: Context | None = None) -> str:
    return room_key(message.room)


def new_room(_: Any, context: Context) -> str:
    return New(room_key(context.fresh))


def message(message: Any, _: Context | None = None) -> str:
    return message_key(message.room, message.message)


def account(message: Any, _: Context | None = None) -> str:
    return account_key(message.account)


def new_account(_: Any, context: Context) -> str:
    return New(account_key(context.fresh))


def actor(_: Any, context: Context) -> str:
    return account_key(context.actor)


def invite(message: Any, _: Context | None = None) -> str:
    return invite_key(message.invite)


def direct(message: OpenDirect, context: Context) -> str:
    return direct_key(context.actor, message.account)


def server(_: Any, __: Context | None = None) -> str:
    return SERVER


# Of an event alone.


def sent_message(event: MessageSent) -> str:
    return New(message_key(event.room, event.seq))


def name(event: Any) -> str:
    return name_key(event.name)


def opened_direct(event: RoomCreated) -> str | None:
    return None if event.between is UNSET else direct_key(*event.between)
