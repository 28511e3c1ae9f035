"""What a state is called."""

import pytest

from chat.domain import limits
from chat.domain.messages import MarkRead, MessageSent, PinMessage
from chat.domain.rooms import CreateRoom, JoinRoom, OpenDirect, RoomCreated
from chat.logic import keys
from tests.logic.given import NOBODY


def test_a_key_is_a_kind_and_a_name() -> None:
    assert keys.room_key("tea") == "room:tea"
    assert keys.account_key("ann") == "account:ann"
    assert keys.invite_key("hash") == "invite:hash"
    assert keys.SERVER == "server:"


def test_the_keys_of_messages_sort_as_the_messages_do() -> None:
    numbers = [0, 1, 9, 10, 99, 100, limits.INTEGER - 1]
    found = [keys.message_key("tea", number) for number in numbers]
    assert found == sorted(found)
    assert {len(key) for key in found} == {len("message:tea:") + 16}


def test_a_direct_room_is_called_the_same_by_both() -> None:
    assert keys.direct_key("bob", "ann") == keys.direct_key("ann", "bob") == "direct:ann:bob"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann", "ANN"),
        ("Straße", "STRASSE"),
        ("ｆｕｌｌ", "full"),
        ("ﬁn", "fin"),
        ("é", "e\u0301"),
        ("Ω", "\u2126"),
        ("ΟΔΟΣ", "οδος"),
        ("İ", "i\u0307"),
        ("ᾳ\u0301", "ᾴ"),
        ("①", "1"),
    ],
)
def test_names_that_read_the_same_are_the_same(one: str, other: str) -> None:
    assert keys.name_key(one) == keys.name_key(other)


def test_a_folded_name_is_folded_for_good() -> None:
    for name in ("ᾼ\u0345", "ϒ\u0301", "ŉ", "ß\u0323", "ᵯ", "㍿"):
        folded = keys.fold_name(name)
        assert keys.fold_name(folded) == folded


def test_names_that_read_differently_are_different() -> None:
    assert len({keys.name_key(name) for name in ("ann", "anna", "a.nn", "a-nn", "a_nn", "аnn")}) == 6


def test_what_stands_behind_the_kind() -> None:
    assert keys.id_of("account:ann") == "ann"
    assert keys.id_of("server:") == ""


def test_a_message_knows_its_key() -> None:
    context = NOBODY.context("ann", fresh="new")
    assert keys.room(JoinRoom(room="tea"), context) == "room:tea"
    assert keys.message(PinMessage(room="tea", message=5), context) == "message:tea:0000000000000005"
    assert keys.new_room(CreateRoom(title="Tea", kind="public"), context) == "room:new"
    assert keys.new_account(None, context) == "account:new"
    assert keys.actor(MarkRead(room="tea", message=5), context) == "account:ann"
    assert keys.direct(OpenDirect(account="bob"), context) == "direct:ann:bob"
    assert keys.server(None, context) == "server:"


def test_an_event_knows_its_keys() -> None:
    sent = MessageSent(room="tea", seq=5, author="ann", text="hi")
    assert keys.sent_message(sent) == "message:tea:0000000000000005"
    assert keys.opened_direct(RoomCreated(room="tea", title="Tea", kind="public")) is None
    opened = RoomCreated(room="pair", title="", kind="direct", between=("bob", "ann"))
    assert keys.opened_direct(opened) == "direct:ann:bob"
