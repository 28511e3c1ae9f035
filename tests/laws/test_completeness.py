"""Nothing is forgotten: what the interface names is there, and what is there is wired."""

from inspect import getmembers, isclass
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Struct

from chat.domain import accounts, messages, rooms
from chat.domain.vocabulary import (
    AccountEvent,
    Command,
    Event,
    PrivateEvent,
    PublicEvent,
    Query,
    RoomEvent,
    State,
)
from chat.logic.mediator import Commands
from chat.logic.redaction import ABOUT, BLANK, ERASES
from chat.logic.roles import IN_ROOM, NEVER_DIRECT, ON_SERVER, WHILE_ARCHIVED
from tests.logic.given import TABLES, WIRING

# Commands and queries, of the public interface: their fields, and a question mark at what may be left out.
COMMANDS = {
    "create_room": "title kind members?",
    "rename_room": "room title",
    "archive_room": "room",
    "unarchive_room": "room",
    "join_room": "room",
    "leave_room": "room",
    "add_member": "room account",
    "remove_member": "room account",
    "change_role": "room account role",
    "send_message": "room text reply_to?",
    "edit_message": "room message text",
    "delete_message": "room message",
    "add_reaction": "room message emoji",
    "remove_reaction": "room message emoji",
    "pin_message": "room message",
    "unpin_message": "room message",
    "mark_read": "room message",
    "open_direct": "account",
    "register": "name password invite?",
    "log_in": "name password",
    "log_out": "",
    "end_session": "session",
    "change_password": "old new",
    "rename_account": "name",
    "create_invite": "uses? hours? rooms?",
    "revoke_invite": "invite",
    "promote_account": "account role",
    "reset_password": "account",
    "deactivate_account": "account",
    "reactivate_account": "account",
    "create_bot": "name",
}
QUERIES = {
    "me": "",
    "list_rooms": "",
    "browse_rooms": "text?",
    "room": "room",
    "list_members": "room after? limit?",
    "list_messages": "room before? after? around? limit?",
    "search_messages": "text room? author? before? limit?",
    "list_accounts": "text?",
    "who_is_online": "room",
    "list_sessions": "",
    "list_invites": "",
}
# Events: what they say beside `at` and `by`, and a room's beside `room` and `seq`.
OF_A_ROOM = {
    "room_created": "title kind",
    "room_renamed": "title",
    "room_archived": "",
    "room_unarchived": "",
    "member_added": "account role",
    "member_removed": "account",
    "role_changed": "account role",
    "message_sent": "author text reply_to? mentions deleted?",
    "message_edited": "message text",
    "message_deleted": "message",
    "reaction_added": "message emoji",
    "reaction_removed": "message emoji",
    "message_pinned": "message",
    "message_unpinned": "message",
}
OF_AN_ACCOUNT = {
    "mentioned": "room message",
    "room_read": "room message",
    "session_started": "",
    "session_ended": "",
}
TO_EVERYBODY = {
    "account_registered": "account name",
    "account_renamed": "account",
    "account_deactivated": "account",
    "account_reactivated": "account",
}


def defined(base: type[Struct]) -> list[Any]:
    """Every kind of `base` that the domain has, but for those that are bases of others."""
    return [
        kind
        for module in (accounts, messages, rooms)
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, base) and kind.__module__ == module.__name__ and not kind.__subclasses__()
    ]


def tag(kind: type[Struct]) -> str:
    found = kind.__struct_config__.tag
    assert isinstance(found, str)
    return found


def is_form(kind: type[Struct]) -> bool:
    return kind.__name__.endswith("Form")


def fields(kind: type[Struct]) -> dict[str, bool]:
    """The fields on the wire, and which of them are always there or have to be."""
    optional = {None, UNSET}
    return {
        field.encode_name: field.required or (issubclass(kind, Event) and field.default not in optional)
        for field in msgspec.structs.fields(kind)
    }


def named(words: str) -> dict[str, bool]:
    return {word.rstrip("?"): not word.endswith("?") for word in words.split()}


BY_HAND: Commands = WIRING["BY_HAND"]  # wished at no door
COMMANDS_ON_THE_WIRE = {tag(kind): kind for kind in [*TABLES.commands, *filter(is_form, defined(Command))]}
QUERIES_ON_THE_WIRE = {tag(kind): kind for kind in TABLES.queries}
EVENTS_ON_THE_WIRE = {tag(kind): kind for kind in TABLES.events}


# ---- what the interface names is there


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_interface_is_there(name: str) -> None:
    assert fields(COMMANDS_ON_THE_WIRE[name]) == {"id": False} | named(COMMANDS[name])


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_of_the_interface_is_there(name: str) -> None:
    found = fields(QUERIES_ON_THE_WIRE[name])
    assert found.items() >= named(QUERIES[name]).items()
    assert {field for field, required in found.items() if required} <= named(QUERIES[name]).keys()


@pytest.mark.parametrize("name", OF_A_ROOM)
def test_every_event_of_a_room_is_there(name: str) -> None:
    always = {"room": True, "seq": True, "at": True, "by": True}
    assert issubclass(EVENTS_ON_THE_WIRE[name], RoomEvent)
    assert fields(EVENTS_ON_THE_WIRE[name]).items() >= (always | named(OF_A_ROOM[name])).items()


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
def test_every_event_of_an_account_is_there(name: str) -> None:
    kind = EVENTS_ON_THE_WIRE[name]
    assert issubclass(kind, AccountEvent)
    assert not issubclass(kind, PublicEvent | PrivateEvent)
    assert fields(kind).items() >= ({"at": True, "by": True} | named(OF_AN_ACCOUNT[name])).items()


@pytest.mark.parametrize("name", TO_EVERYBODY)
def test_every_event_to_everybody_is_there(name: str) -> None:
    assert issubclass(EVENTS_ON_THE_WIRE[name], PublicEvent)
    assert fields(EVENTS_ON_THE_WIRE[name]).items() >= named(TO_EVERYBODY[name]).items()


def test_what_is_told_to_nobody_are_secrets() -> None:
    private = {name for name, kind in EVENTS_ON_THE_WIRE.items() if issubclass(kind, PrivateEvent)}
    assert private == {name for name in EVENTS_ON_THE_WIRE if name.startswith(("password_", "token_", "invite_"))}


# ---- what is there is wired


@pytest.mark.parametrize("kind", defined(Command), ids=lambda kind: kind.__name__)
def test_every_command_is_wired_or_the_form_of_one_that_is(kind: type[Command]) -> None:
    if is_form(kind):
        assert tag(kind) in {tag(wired) for wired in TABLES.commands}
        assert kind not in TABLES.commands
    else:
        assert (kind in TABLES.commands) != (kind in BY_HAND)


@pytest.mark.parametrize("kind", defined(Query), ids=lambda kind: kind.__name__)
def test_every_query_is_wired(kind: type[Query]) -> None:
    assert kind in TABLES.queries


@pytest.mark.parametrize("kind", defined(Event), ids=lambda kind: kind.__name__)
def test_every_event_is_wired(kind: type[Event]) -> None:
    assert kind in TABLES.events


@pytest.mark.parametrize("kind", defined(State), ids=lambda kind: kind.__name__)
def test_every_state_has_a_kind_of_key(kind: type[State]) -> None:
    assert list(TABLES.states.values()).count(kind) == 1


def test_no_two_messages_are_called_the_same() -> None:
    wired = [tag(kind) for table in (TABLES.commands, TABLES.queries, TABLES.events) for kind in table]
    assert len(wired) == len(set(wired))


@pytest.mark.parametrize("kind", TABLES.events, ids=lambda kind: kind.__name__)
def test_an_event_belongs_to_a_stream_that_its_first_handler_folds(kind: type[Event]) -> None:
    """Or to one that another of its states is the key of, so that its stream is numbered; or it folds nothing."""
    event = sample(kind)
    assert event.stream.partition(":")[0] in TABLES.states
    keys = [key for key_of, _ in TABLES.events[kind] if (key := key_of(event)) is not None]
    assert all(key.partition(":")[0] in TABLES.states for key in keys)
    if event.stream in keys:
        assert keys[0] == event.stream
    else:
        assert all(key.startswith("message:") for key in keys)


@pytest.mark.parametrize("kind", TABLES.events, ids=lambda kind: kind.__name__)
def test_an_event_of_a_room_has_its_room_and_seq(kind: type[Event]) -> None:
    event = sample(kind).stamped(7, "now", "ann")
    assert (event.at, event.by) == ("now", "ann")
    if isinstance(event, RoomEvent):
        assert (event.room, event.seq, event.stream) == ("id", 7, "room:id")
    else:
        assert event.stream in ("account:id", "invite:id")


def sample(kind: type[Event]) -> Event:
    """With "id" for every text."""
    values: dict[str, Any] = {field.name: _sample(str(field.type)) for field in msgspec.structs.fields(kind)}
    return kind(**values)


def _sample(kind: str) -> object:
    match kind:
        case _ if "tuple[str, str]" in kind:
            return ("one", "other")
        case _ if "tuple" in kind:
            return ()
        case _ if "bool" in kind:
            return False
        case _ if "int" in kind:
            return 1
    return "id"


def test_the_tables_of_roles_and_redaction_name_what_is_wired() -> None:
    wired = TABLES.commands.keys() | TABLES.queries.keys()
    assert wired >= IN_ROOM.keys() | ON_SERVER.keys() | WHILE_ARCHIVED | NEVER_DIRECT
    assert not IN_ROOM.keys() & ON_SERVER.keys()
    assert TABLES.events.keys() >= ABOUT.keys() | ERASES.keys()
    assert BLANK.keys() == ABOUT.keys()


def test_who_has_a_least_role_in_a_room_names_the_room() -> None:
    assert all("room" in fields(kind) for kind in IN_ROOM)
    assert not any("room" in fields(kind) for kind in ON_SERVER)
