"""What is true of every world, whatever happened in it."""

from hypothesis import given

from chat.domain import limits
from chat.domain.accounts import Account, Server, TakenName
from chat.domain.messages import Message
from chat.domain.rooms import Direct, Room
from chat.logic.keys import direct_key, name_key
from tests.laws.history import History, histories, law
from tests.laws.world import Seen, look
from tests.logic.given import Given


def seen_in(world: Given) -> Seen:
    return look(world.states)


@law
@given(histories)
def test_a_server_with_accounts_has_an_owner_who_can_log_in(history: History) -> None:
    for step in history.steps:
        seen = seen_in(step.outcome.world)
        server = step.outcome.world.look("server:", Server)
        owners = {name for name, account in seen.accounts.items() if account.role == "owner" and account.active}
        assert set(server.owners) == owners
        assert len(server.owners) == len(owners)
        assert owners or not seen.accounts
        assert server.accounts == len(seen.accounts)


@law
@given(histories)
def test_a_room_has_an_owner_and_a_direct_room_two_members(history: History) -> None:
    for step in history.steps:
        for state in step.outcome.world.states.values():
            match state:
                case Room(kind="direct", members=members):
                    assert list(members.values()) == ["member", "member"]
                case Room(kind="public" | "private", members=members, barred=barred):
                    assert "owner" in members.values()
                    assert not members.keys() & set(barred)


@law
@given(histories)
def test_two_have_one_direct_room(history: History) -> None:
    world = history.end
    directs = {
        key.partition(":")[2]: state
        for key, state in world.states.items()
        if isinstance(state, Room) and state.kind == "direct"
    }
    for name, room in directs.items():
        assert world.look(direct_key(*room.members), Direct).room == name


@law
@given(histories)
def test_a_name_is_its_account_s_for_ever(history: History) -> None:
    taken: dict[str, str] = {}
    for step in history.steps:
        for key, state in step.outcome.world.states.items():
            if isinstance(state, TakenName):
                assert taken.setdefault(key, state.account) == state.account
    for name, account in seen_in(history.end).accounts.items():
        assert taken[name_key(account.name)] == name


@law
@given(histories)
def test_the_pins_of_a_room_are_its_pinned_messages(history: History) -> None:
    seen = seen_in(history.end)
    for name, room in seen.rooms.items():
        messages = seen.messages.get(name, {})
        assert sorted(room.pins) == [seq for seq, message in messages.items() if message.pinned is True]
        assert room.last == max(messages, default=0)


@law
@given(histories)
def test_nothing_grows_beyond_its_limit(history: History) -> None:
    for state in history.end.states.values():
        match state:
            case Account():
                assert len(state.sessions) <= limits.ACCOUNT_SESSIONS
                assert len(state.rooms) <= limits.ACCOUNT_ROOMS
            case Message():
                assert len(state.reactions) <= limits.REACTION_KINDS
                assert all(state.reactions.values())
            case Room():
                assert len(state.pins) <= limits.PINS
