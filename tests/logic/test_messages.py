"""Sending, changing, taking back, answering with an emoji, and how far somebody has read."""

import pytest
from msgspec import UNSET

from chat.domain import limits
from chat.domain.accounts import Account, Reading
from chat.domain.messages import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    MarkRead,
    Mentioned,
    Message,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageSent,
    MessageUnpinned,
    PinMessage,
    ReactionAdded,
    ReactionRemoved,
    RemoveReaction,
    RoomRead,
    SendMessage,
    UnpinMessage,
)
from chat.domain.rooms import MemberRemoved, Room
from chat.domain.vocabulary import Command
from chat.logic.keys import message_key
from tests.logic.given import CLUB, EARLIER, NOW, PAIR, TEA, Given, given, room

FIRST = 5  # the seq of the first message in the tea room
KEY = message_key("tea", FIRST)
HI = MessageSent(room="tea", author="cat", text="hi", by="cat")
DELETED = MessageDeleted(room="tea", message=FIRST)


def first(world: Given) -> Message:
    return world.look(KEY, Message)


def reading(world: Given, account: str) -> Reading:
    return world.look(f"account:{account}", Account).rooms["tea"]


def sends(text: str) -> SendMessage:
    return SendMessage(room="tea", text=text)


# ---- sending


def test_a_member_sends_a_message() -> None:
    world = given(TEA).when("cat", sends("hi")).then(MessageSent(room="tea", author="cat", text="hi"))
    assert first(world) == Message(seq=FIRST, author="cat", at=NOW, text="hi")
    assert world.look("room:tea", Room).last == FIRST


def test_a_message_answers_another() -> None:
    answer = SendMessage(room="tea", text="hello", reply_to=FIRST)
    given(TEA, HI).when("bob", answer).then(MessageSent(room="tea", author="bob", text="hello", reply_to=FIRST))


def test_a_message_answers_only_what_is_there_in_its_room() -> None:
    answer = SendMessage(room="tea", text="hello", reply_to=FIRST)
    there = SendMessage(room="club", text="hello", reply_to=FIRST)
    given(TEA).when("bob", answer).refused("not_found", "reply_to")
    given(TEA, HI, DELETED).when("bob", answer).refused("not_found", "reply_to")
    given(TEA, CLUB, HI).when("bob", there).refused("not_found", "reply_to")


# ---- mentioning


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("hi @bob", ("bob",)),
        ("@bob", ("bob",)),
        ("@BOB and @ＢＯＢ", ("bob",)),
        ("ask @bob. Or @ann-", ("bob", "ann")),
        ("(@bob), @ann! @cat?", ("bob", "ann", "cat")),
        ("@ann @bob @ann", ("ann", "bob")),
        ("@dan is not here", ()),
        ("@unheard-of", ()),
        ("mail@bob.example", ()),
        ("me@bob", ()),
        ("@@bob", ()),
        ("@bob@elsewhere.example", ()),
        ("@ bob", ()),
        ("@bobby", ()),
        ("@...", ()),
        ("@" + "b" * 33, ()),
        ("bob", ()),
    ],
)
def test_the_members_named_in_a_text_are_mentioned(text: str, whom: tuple[str, ...]) -> None:
    sent = MessageSent(room="tea", author="cat", text=text, mentions=whom)
    told = [Mentioned(account=account, room="tea", message=FIRST) for account in whom if account != "cat"]
    given(TEA).when("cat", sends(text)).then(sent, *told)


def test_a_name_given_up_still_means_its_account() -> None:
    world = given(TEA).but("name:robert", account="bob")
    assert world.when("ann", sends("@Robert")).recorded[0].event == MessageSent(
        room="tea", seq=FIRST, at=NOW, by="ann", author="ann", text="@Robert", mentions=("bob",)
    )


def test_at_most_twenty_are_mentioned() -> None:
    names = [f"n{number}" for number in range(limits.MENTIONS + 1)]
    world = given(TEA).but("room:tea", members=dict.fromkeys(["ann", *names], "member"))
    for name in names:
        world = world.but(f"name:{name}", account=name)
    sent = world.when("ann", sends(" ".join(f"@{name}." for name in names))).recorded
    assert len(sent) == 1 + limits.MENTIONS == 21


def test_a_mention_waits_until_it_is_read() -> None:
    world = given(TEA, ("ann", sends("@bob")), ("ann", sends("@bob")))
    assert reading(world, "bob") == Reading(read=3, mentions=(5, 6))
    world = world.when("bob", MarkRead(room="tea", message=5)).world
    assert reading(world, "bob") == Reading(read=5, mentions=(6,))


def test_the_newest_mentions_are_kept() -> None:
    many = {"tea": Reading(mentions=tuple(range(1, limits.UNREAD + 1)))}
    world = given(TEA).but("account:bob", rooms=many).after(Mentioned(account="bob", room="tea", message=500))
    assert reading(world, "bob").mentions == (*range(2, limits.UNREAD + 1), 500)


def test_who_has_left_is_mentioned_no_more() -> None:
    world = given(TEA, MemberRemoved(room="tea", account="bob"))
    assert world.after(Mentioned(account="bob", room="tea", message=5)).look("account:bob", Account) == world.look(
        "account:bob", Account
    )


# ---- editing


def test_an_author_edits_a_message() -> None:
    edit = EditMessage(room="tea", message=FIRST, text="ho")
    world = given(TEA, HI).when("cat", edit).then(MessageEdited(room="tea", message=FIRST, text="ho"))
    assert first(world) == Message(seq=FIRST, author="cat", at=EARLIER, text="ho", edited_at=NOW, edits=1)
    world.when("cat", edit).then()


@pytest.mark.parametrize("other", ["ann", "bob"])
def test_nobody_else_edits_a_message(other: str) -> None:
    given(TEA, HI).when(other, EditMessage(room="tea", message=FIRST, text="ho")).refused("forbidden")


def test_whom_an_edited_message_mentions_stays_as_it_was_sent() -> None:
    edit = EditMessage(room="tea", message=FIRST, text="hello @ann")
    world = given(TEA, ("cat", sends("hello @bob"))).when("cat", edit).world
    assert first(world).mentions == ("bob",)


def test_a_message_is_edited_so_often_and_no_more() -> None:
    edit = EditMessage(room="tea", message=FIRST, text="ho")
    assert given(TEA, HI).but(KEY, edits=limits.EDITS - 1).when("cat", edit).recorded
    given(TEA, HI).but(KEY, edits=limits.EDITS).when("cat", edit).refused("full")


# ---- deleting


def test_a_deleted_message_leaves_its_place() -> None:
    busy = given(
        TEA,
        ("cat", SendMessage(room="tea", text="hi @bob")),
        ReactionAdded(room="tea", message=FIRST, emoji="+1", by="ann"),
        MessagePinned(room="tea", message=FIRST),
    )
    world = busy.when("cat", DeleteMessage(room="tea", message=FIRST)).then(DELETED)
    assert first(world) == Message(seq=FIRST, author="cat", at=NOW, text="", deleted=True)
    assert world.look("room:tea", Room).pins == ()
    world.when("cat", DeleteMessage(room="tea", message=FIRST)).then()


def test_an_admin_deletes_messages_of_an_owner() -> None:
    by_ann = MessageSent(room="tea", author="ann", text="hi")
    given(TEA, by_ann).when("bob", DeleteMessage(room="tea", message=FIRST)).then(DELETED)
    given(TEA, by_ann).when("cat", DeleteMessage(room="tea", message=FIRST)).refused("forbidden")


def test_in_a_direct_room_everybody_deletes_their_own() -> None:
    by_ann = MessageSent(room="pair", author="ann", text="hi")
    delete = DeleteMessage(room="pair", message=4)
    given(PAIR, by_ann).when("bob", delete).refused("forbidden")
    given(PAIR, by_ann).when("ann", delete).then(MessageDeleted(room="pair", message=4))


AT_A_MESSAGE: list[Command] = [
    EditMessage(room="tea", message=FIRST, text="ho"),
    AddReaction(room="tea", message=FIRST, emoji="+1"),
    RemoveReaction(room="tea", message=FIRST, emoji="+1"),
    PinMessage(room="tea", message=FIRST),
    UnpinMessage(room="tea", message=FIRST),
    DeleteMessage(room="tea", message=FIRST),
]


@pytest.mark.parametrize("command", AT_A_MESSAGE, ids=lambda command: type(command).__name__)
def test_a_message_that_is_not_there_is_not_found(command: Command) -> None:
    given(TEA).when("ann", command).refused("not_found", "message")


@pytest.mark.parametrize("command", AT_A_MESSAGE[:-1], ids=lambda command: type(command).__name__)
def test_a_message_that_was_deleted_is_not_found(command: Command) -> None:
    given(TEA, HI, DELETED).when("ann", command).refused("not_found", "message")


# ---- reactions


def test_everybody_reacts_once_with_an_emoji() -> None:
    react = AddReaction(room="tea", message=FIRST, emoji="+1")
    reacted = ReactionAdded(room="tea", message=FIRST, emoji="+1")
    world = given(TEA, HI).when("cat", react).then(reacted).when("ann", react).then(reacted)
    assert first(world).reactions == {"+1": ("cat", "ann")}
    world.when("ann", react).then()


def test_a_reaction_is_taken_back_by_its_giver() -> None:
    back = RemoveReaction(room="tea", message=FIRST, emoji="+1")
    gone = ReactionRemoved(room="tea", message=FIRST, emoji="+1")
    world = given(TEA, HI, ("ann", AddReaction(room="tea", message=FIRST, emoji="+1")))
    world.when("cat", back).then()
    assert first(world.when("ann", back).then(gone)).reactions == {}
    world = world.when("cat", AddReaction(room="tea", message=FIRST, emoji="+1")).world
    assert first(world.when("ann", back).then(gone)).reactions == {"+1": ("cat",)}


def test_a_message_has_so_many_kinds_of_reaction_and_no_more() -> None:
    kinds = {f"e{number}": ("cat",) for number in range(limits.REACTION_KINDS)}
    another = AddReaction(room="tea", message=FIRST, emoji="+1")
    one_of_them = AddReaction(room="tea", message=FIRST, emoji="e0")
    full = given(TEA, HI).but(KEY, reactions=kinds)
    full.when("ann", another).refused("full")
    full.when("ann", one_of_them).then(ReactionAdded(room="tea", message=FIRST, emoji="e0"))
    del kinds["e1"]
    assert given(TEA, HI).but(KEY, reactions=kinds).when("ann", another).recorded


@pytest.mark.parametrize("emoji", ["+1", "-1"])
def test_a_message_has_so_many_reactions_and_no_more(emoji: str) -> None:
    react = AddReaction(room="tea", message=FIRST, emoji=emoji)
    crowd = tuple(f"m{number}" for number in range(limits.REACTIONS))
    assert given(TEA, HI).but(KEY, reactions={"+1": crowd[1:]}).when("ann", react).recorded
    given(TEA, HI).but(KEY, reactions={"+1": crowd}).when("ann", react).refused("full")


# ---- pins


def test_a_message_is_pinned_once_and_unpinned_once() -> None:
    pinned = MessagePinned(room="tea", message=FIRST)
    world = given(TEA, HI).when("bob", PinMessage(room="tea", message=FIRST)).then(pinned)
    assert (first(world).pinned, world.look("room:tea", Room).pins) == (True, (FIRST,))
    world.when("bob", PinMessage(room="tea", message=FIRST)).then()
    unpinned = MessageUnpinned(room="tea", message=FIRST)
    world = world.when("bob", UnpinMessage(room="tea", message=FIRST)).then(unpinned)
    assert (first(world).pinned, world.look("room:tea", Room).pins) == (UNSET, ())
    world.when("bob", UnpinMessage(room="tea", message=FIRST)).then()


def test_pins_stand_in_the_order_in_which_they_were_pinned() -> None:
    pinned = [MessagePinned(room="tea", message=message) for message in (6, 5, 7)]
    world = given(TEA, HI, HI, HI, pinned)
    assert world.look("room:tea", Room).pins == (6, 5, 7)
    assert world.after(MessageUnpinned(room="tea", message=5)).look("room:tea", Room).pins == (6, 7)


def test_both_pin_in_a_direct_room() -> None:
    by_ann = MessageSent(room="pair", author="ann", text="hi")
    for account in ("ann", "bob"):
        pinned = given(PAIR, by_ann).when(account, PinMessage(room="pair", message=4))
        pinned.then(MessagePinned(room="pair", message=4))


def test_a_room_has_so_many_pins_and_no_more() -> None:
    pins = tuple(range(1_000, 1_000 + limits.PINS))
    pin = PinMessage(room="tea", message=FIRST)
    assert given(TEA, HI).but("room:tea", pins=pins[1:]).when("bob", pin).recorded
    given(TEA, HI).but("room:tea", pins=pins).when("bob", pin).refused("full")


# ---- reading


def test_what_is_read_is_kept_to_oneself() -> None:
    read = RoomRead(account="bob", room="tea", message=FIRST)
    world = given(TEA, HI).when("bob", MarkRead(room="tea", message=FIRST)).then(read)
    assert reading(world, "bob") == Reading(read=FIRST)


def test_reading_never_goes_back() -> None:
    world = given(TEA, HI, ("bob", MarkRead(room="tea", message=FIRST)))
    world.when("bob", MarkRead(room="tea", message=FIRST)).then()
    world.when("bob", MarkRead(room="tea", message=1)).then()


def test_nobody_reads_beyond_the_end() -> None:
    given(TEA, HI).when("bob", MarkRead(room="tea", message=FIRST + 1)).refused("not_found", "message")


def test_the_same_name_in_another_room_is_another_message() -> None:
    world = given(TEA, HI, room("den", ann="owner"))
    world.when("ann", AddReaction(room="den", message=FIRST, emoji="+1")).refused("not_found", "message")
