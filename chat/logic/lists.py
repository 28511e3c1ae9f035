"""Which lists a key stands on, and under what label: a fold of its state, like everything else."""

from typing import Final
from unicodedata import normalize

from chat.domain.accounts import Account, Invite
from chat.domain.rooms import Room
from chat.domain.vocabulary import State

PUBLIC_ROOMS: Final = "public_rooms"
ACCOUNTS: Final = "accounts"
INVITES: Final = "invites"


def label(text: str) -> str:
    """What sorts and is searched in: without case or variants of width."""
    return normalize("NFKC", text).casefold()


def lists_of(state: State) -> dict[str, str]:
    match state:
        case Room(kind="public", archived=False):
            return {PUBLIC_ROOMS: label(state.title)}
        case Account() if state.name:
            return {ACCOUNTS: label(state.name)}
        case Invite(revoked=False) if state.by and state.used < state.uses:
            return {INVITES: state.expires}
    return {}
