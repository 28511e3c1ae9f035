"""What a sender is told of a command that was carried out: ids and seqs, never a text or a secret."""

from collections.abc import Sequence

import msgspec

from chat.domain.accounts import AccountRegistered, InviteCreated, SessionStarted
from chat.domain.frames import Acknowledgement
from chat.domain.log import Recorded
from chat.domain.rooms import Direct
from chat.domain.vocabulary import Command, RoomEvent, State

_encode = msgspec.json.Encoder().encode


def acknowledge(command: Command, state: State, records: Sequence[Recorded]) -> bytes:
    """The acknowledgement as JSON, without type and id. `state` is what it left."""
    room = seq = account = session = invite = None
    for record in records:
        match record.event:
            case RoomEvent() as event if seq is None:
                room, seq = event.room, event.seq
            case AccountRegistered() as event:
                account = event.account
            case SessionStarted() as event:
                session = event.session
            case InviteCreated() as event:
                invite = event.invite
    if room is None:
        room = getattr(command, "room", None) or (state.room if isinstance(state, Direct) else None)
    return _encode(Acknowledgement(room, seq, account, invite, session))
