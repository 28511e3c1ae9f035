"""Everybody is told all of the rooms that they are in, and nothing of others."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.accounts import Account
from chat.domain.errors import Refused
from chat.domain.log import Holding, Listed, Range, Recorded, Rows
from chat.domain.messages import ListMessages, Message, MessageSent
from chat.domain.rooms import MemberAdded, MemberRemoved, Room
from chat.domain.vocabulary import RoomEvent
from chat.logic.find import Find
from chat.logic.keys import message_key, room_key
from chat.logic.mediator import Version, advance, answer, touched
from chat.logic.words import in_room
from tests.laws.history import History, histories, law, seeds
from tests.laws.rows import find
from tests.laws.world import begin, look, message
from tests.logic.given import TABLES, Given

QUERIES = sorted(TABLES.queries, key=lambda kind: kind.__name__)
Told = tuple[RoomEvent, set[str]]  # an event of a room, and its members before and after it


def told(history: History) -> list[Told]:
    rooms: dict[str, Version] = {}
    found: list[Told] = []
    for record in history.log:
        if isinstance(record.event, RoomEvent):
            before = rooms.get(record.stream) or TABLES.initial(record.stream)
            rooms[record.stream] = advance(TABLES, record.stream, before, record)
            found.append((record.event, members(before) | members(rooms[record.stream])))
    return found


def members(version: Version) -> set[str]:
    assert isinstance(version.state, Room)
    return set(version.state.members)


def accounts(world: Given) -> dict[str, Account]:
    return look(world.states).accounts


# ---- events


@law
@given(histories)
def test_whoever_does_something_in_a_room_is_in_it(history: History) -> None:
    """Its first event comes before its first member."""
    for event, audience in told(history):
        assert event.by in audience or event.seq == 1


@law
@given(histories)
def test_from_what_one_is_told_one_knows_which_rooms_one_is_in(history: History) -> None:
    for name, account in accounts(history.end).items():
        own: set[str] = set()
        for event, audience in told(history):
            match event:
                case MemberAdded() if name in audience and event.account == name:
                    own.add(event.room)
                case MemberRemoved() if name in audience and event.account == name:
                    own.remove(event.room)
        assert own == set(account.rooms)


@law
@given(histories)
def test_a_member_is_told_everything_from_coming_to_going(history: History) -> None:
    last: dict[tuple[str, str], int] = {}
    for event, audience in told(history):
        for name in audience:
            came = isinstance(event, MemberAdded) and event.account == name
            assert came or last[name, event.room] == event.seq - 1
            last[name, event.room] = event.seq


@law
@given(histories)
def test_an_account_knows_the_rooms_that_know_it(history: History) -> None:
    seen = look(history.end.states)
    for room, state in seen.rooms.items():
        assert set(state.members) == {name for name, account in seen.accounts.items() if room in account.rooms}


@law
@given(histories)
def test_only_members_are_mentioned(history: History) -> None:
    for step in history.steps:
        for record in step.outcome.recorded:
            if mentions := getattr(record.event, "mentions", ()):
                assert set(mentions) <= members(step.before.versions[record.stream])


# ---- pages


def page(world: Given, asker: str, room: str, limit: int) -> list[Message]:
    """The newest messages, as a client reads them."""
    found = answer(TABLES, ListMessages(room=room, limit=limit), world.context(asker))
    assert isinstance(found, Find)
    shown = found.then([found.each(find(rows, world.states)) for rows in found.rows], world.context(asker))
    return [msgspec.json.decode(row, type=Message) for row in shown["messages"]]


def followed(rows: list[Message], room: str, events: list[Recorded], limit: int) -> list[Message]:
    """A page, and the events after it taken in as a client takes them."""
    kept = {message_key(room, row.seq): row for row in rows}
    for record in events:
        for key in touched(TABLES, record):
            if key in kept or (isinstance(record.event, MessageSent) and key.startswith("message:")):
                after = advance(TABLES, key, Version(0, kept.get(key, Message())), record).state
                assert isinstance(after, Message)
                kept[key] = after
    return [kept[key] for key in sorted(kept)][-limit:]


@law
@given(histories, st.integers(0, 50), st.integers(1, 10))
def test_a_page_and_the_events_after_it_are_the_later_page(history: History, at: int, limit: int) -> None:
    earlier = history.steps[min(at, len(history.steps) - 1)].outcome.world if history.steps else history.end
    for room, state in look(earlier.states).rooms.items():
        asker = next((name for name in state.members if may_read(history.end, name, room)), None)
        if asker and may_read(earlier, asker, room):
            seen = earlier.versions[room_key(room)].seq
            events = [record for record in history.log if record.stream == room_key(room) and record.seq > seen]
            rows = page(earlier, asker, room, limit)
            assert followed(rows, room, events, limit) == page(history.end, asker, room, limit)


def may_read(world: Given, asker: str, room: str) -> bool:
    account = accounts(world).get(asker)
    return account is not None and account.active and room in account.rooms


# ---- questions


@law
@given(histories, seeds)
def test_every_question_is_answered_or_refused_and_changes_nothing(history: History, seed: int) -> None:
    world, chance = history.end, Random(seed)
    for kind in QUERIES:
        scene = begin(chance, look(world.states), kind)
        query = message(chance, scene)
        context = world.context(scene.actor)
        try:
            found = answer(TABLES, query, context)
        except Refused:
            continue
        if isinstance(found, Find):
            assert all(within(rows, accounts(world)[scene.actor]) for rows in found.rows)
            found = found.then([found.each(find(rows, world.states)) for rows in found.rows], context)
        assert isinstance(msgspec.json.decode(msgspec.json.encode(found)), dict)
        assert context.states.changed == {}


def within(rows: Rows, account: Account) -> bool:
    """Whether messages are read of the account's own rooms only."""
    match rows:
        case Range(first=first, last=last):
            return first.split(":")[1] == last.split(":")[1] and first.split(":")[1] in account.rooms
        case Holding(among=among):
            return set(among[0]) <= {in_room(room) for room in account.rooms}
        case Listed():
            return True
