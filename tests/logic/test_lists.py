"""Which lists a state stands on."""

import pytest

from chat.domain.accounts import Account, Invite, Server, TakenName
from chat.domain.messages import Message
from chat.domain.rooms import Direct, Room
from chat.domain.vocabulary import State
from chat.logic.lists import ACCOUNTS, INVITES, PUBLIC_ROOMS, label, lists_of
from tests.logic.given import MUCH_LATER

OPEN = Invite(by="olga", uses=2, used=1, expires=MUCH_LATER)


@pytest.mark.parametrize(
    ("state", "lists"),
    [
        (Room(kind="public", title="Green TEA"), {PUBLIC_ROOMS: "green tea"}),
        (Room(kind="public", title="Tea", archived=True), {}),
        (Room(kind="private", title="Tea"), {}),
        (Room(kind="direct"), {}),
        (Room(), {}),
        (Account(name="Ann"), {ACCOUNTS: "ann"}),
        (Account(name="Ann", active=False), {ACCOUNTS: "ann"}),
        (Account(), {}),
        (OPEN, {INVITES: MUCH_LATER}),
        (Invite(by="olga", uses=1, used=1, expires=MUCH_LATER), {}),
        (Invite(by="olga", uses=1, expires=MUCH_LATER, revoked=True), {}),
        (Invite(), {}),
        (Message(seq=5, author="ann", text="hi"), {}),
        (TakenName(account="ann"), {}),
        (Direct(room="pair"), {}),
        (Server(accounts=1), {}),
    ],
    ids=str,
)
def test_a_state_stands_on_its_lists(state: State, lists: dict[str, str]) -> None:
    assert lists_of(state) == lists


def test_a_label_has_no_case_and_no_width() -> None:
    assert label("ＴＥＡ Straße") == "tea strasse"
