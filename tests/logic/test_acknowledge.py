"""What a sender is told of a command that was carried out."""

from msgspec import json

from chat.domain.accounts import CreateBot, CreateInvite, LogIn, LogOut, PasswordSet, Register, RenameAccount
from chat.domain.messages import MarkRead, SendMessage
from chat.domain.rooms import CreateRoom, JoinRoom, OpenDirect
from chat.domain.vocabulary import Command
from chat.logic.acknowledge import acknowledge
from chat.logic.mediator import decide
from tests.logic.given import NOBODY, PAIR, TABLES, TEA, Given, given


def told(world: Given, actor: str, command: Command) -> object:
    state, recorded = decide(TABLES, command, world.context(actor, registration="open"))
    return json.decode(acknowledge(command, state, recorded))


def test_a_message_is_acknowledged_by_its_place() -> None:
    assert told(given(TEA), "ann", SendMessage(room="tea", text="hi @bob")) == {"room": "tea", "seq": 5}


def test_where_nothing_changed_there_is_no_seq() -> None:
    assert told(given(TEA), "ann", JoinRoom(room="tea")) == {"room": "tea"}
    assert told(given(TEA), "ann", MarkRead(room="tea", message=2)) == {"room": "tea"}
    assert told(given(), "ann", RenameAccount(name="ann")) == {}
    assert told(given(), "ann", LogOut()) == {}


def test_a_new_room_is_named_with_its_first_event() -> None:
    command = CreateRoom(title="Den", kind="public", members=("bob",))
    assert told(given(), "ann", command) == {"room": "fresh", "seq": 1}


def test_a_direct_room_is_named_also_when_it_stood_open() -> None:
    assert told(given(), "ann", OpenDirect(account="bob")) == {"room": "fresh", "seq": 1}
    assert told(given(PAIR), "bob", OpenDirect(account="ann")) == {"room": "pair"}


def test_a_new_account_is_named_with_its_session_and_without_its_secrets() -> None:
    command = Register(name="eve", password="a hash", token="another")
    assert told(NOBODY, "fresh", command) == {"account": "fresh", "session": "fresh"}
    assert told(given(), "adam", CreateBot(name="eve", token="a hash")) == {
        "account": "fresh",
        "session": "fresh",
    }


def test_a_new_session_is_named() -> None:
    world = given(PasswordSet(account="ann", password="hash"))
    assert told(world, "ann", LogIn(account="ann", password="hash", token="t")) == {"session": "fresh"}


def test_a_new_invitation_is_named() -> None:
    assert told(given(), "adam", CreateInvite(invite="hash")) == {"invite": "hash"}
