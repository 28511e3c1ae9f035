"""What a sender is told of a command that was carried out: ids and seqs, never a text or a secret."""

from collections.abc import Sequence
from typing import Any

import msgspec

from chat.domain.accounts import AccountRegistered, InviteCreated, SessionStarted
from chat.domain.frames import Acknowledgement
from chat.domain.log import Recorded
from chat.domain.rooms import Direct
from chat.domain.vocabulary import Command, RoomEvent, State

_encode = msgspec.json.Encoder().encode


def acknowledge(command: Command, state: State, records: Sequence[Recorded]) -> bytes:
    """The acknowledgement as JSON, without type and id. `state` is what it left."""
    told: dict[str, Any] = {}
    for record in records:
        match record.event:
            case RoomEvent() as event if "seq" not in told:
                told |= {"room": event.room, "seq": event.seq}
            case AccountRegistered() as event:
                told["account"] = event.account
            case SessionStarted() as event:
                told["session"] = event.session
            case InviteCreated() as event:
                told["invite"] = event.invite
    if "room" not in told:
        told["room"] = getattr(command, "room", None) or (state.room if isinstance(state, Direct) else None)
    return _encode(Acknowledgement(**told))
