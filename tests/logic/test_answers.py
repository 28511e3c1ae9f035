"""Questions about rooms, accounts and the server, as the interface says that they are answered."""

from typing import Any

import msgspec
import pytest

from chat.domain import limits
from chat.domain.accounts import (
    AccountDeactivated,
    InviteCreated,
    InviteUsed,
    ListAccounts,
    ListInvites,
    ListSessions,
    Me,
    PasswordSet,
    Reading,
    Welcome,
)
from chat.domain.log import Listed, Range
from chat.domain.messages import MarkRead, Message, MessagePinned, MessageSent, SendMessage
from chat.domain.rooms import BrowseRooms, ListMembers, ListRooms, MemberAdded, ShowRoom, WhoIsOnline
from chat.logic.answers import SHARED
from chat.logic.keys import message_key
from tests.logic.given import (
    CLUB,
    EARLIER,
    MUCH_LATER,
    NOBODY,
    NOW,
    PAIR,
    TEA,
    Given,
    given,
    room,
    sessions,
)

HELLO_ROOM = {"id", "title", "kind", "seq", "read", "unread", "mentions", "role", "archived"}
TEA_ROW: dict[str, Any] = {
    "id": "tea",
    "title": "tea",
    "kind": "public",
    "seq": 4,
    "read": 2,
    "unread": 0,
    "mentions": 0,
    "role": "owner",
    "archived": False,
}


def unread(name: str, upto: int, first: int = 1) -> Range:
    """What everybody asks for who has read less than SHARED seqs from the first on."""
    return Range(first=message_key(name, first), last=message_key(name, upto), limit=limits.UNREAD + SHARED)


def heard(author: str, seq: int, **rest: Any) -> bytes:
    return msgspec.json.encode(Message(seq=seq, author=author, **rest))


# ---- the server and oneself


def test_a_newcomer_is_told_that_an_owner_is_missing() -> None:
    NOBODY.asks("", Welcome()).answers({"setup": True, "link": False, "registration": "invite"})
    NOBODY.asks("", Welcome(), setup="hash", registration="open").answers(
        {"setup": True, "link": True, "registration": "open"}
    )


def test_a_newcomer_is_told_how_to_get_an_account() -> None:
    given().asks("", Welcome(), setup="hash", registration="closed").answers(
        {"setup": False, "link": False, "registration": "closed"}
    )


def test_somebody_logged_in_is_told_who_they_are() -> None:
    given().asks("ann", Welcome()).answers(
        {
            "setup": False,
            "link": False,
            "registration": "invite",
            "account": {"id": "ann", "name": "ann", "role": "member"},
        }
    )


def test_me_is_the_account_its_role_and_the_limits() -> None:
    given().asks("adam", Me()).answers(
        {"account": {"id": "adam", "name": "adam", "role": "admin"}, "limits": limits.PUBLISHED}
    )


def test_me_tells_that_a_one_time_password_has_to_be_replaced() -> None:
    world = given(PasswordSet(account="ann", password="once", one_time=True))
    assert world.asks("ann", Me()).answer["password_expired"] is True
    assert "password_expired" not in given().asks("ann", Me()).answer


# ---- rooms


def test_without_rooms_there_is_nothing_to_list() -> None:
    given().asks("dan", ListRooms()).finds().holding().answers({"rooms": []})


def test_ones_rooms_are_listed_as_in_hello() -> None:
    given(TEA).asks("ann", ListRooms()).finds().holding().answers({"rooms": [TEA_ROW]})
    assert set(TEA_ROW) == HELLO_ROOM


def test_a_direct_room_says_with_whom() -> None:
    asked = given(PAIR).asks("bob", ListRooms()).finds().holding()
    (shown,) = asked.answer["rooms"]
    assert (shown["with"], shown["kind"], shown["title"], shown["role"]) == ("ann", "direct", "", "member")


def test_only_rooms_with_news_are_looked_into() -> None:
    said, read = SendMessage(room="tea", text="hi @bob"), MarkRead(room="tea", message=6)
    world = given(TEA, CLUB, ("ann", said), ("ann", said))
    world.asks("bob", ListRooms()).finds(unread("tea", 6))
    world.happened(("bob", read)).asks("bob", ListRooms()).finds()
    world.happened(("bob", read), ("ann", said)).asks("bob", ListRooms()).finds(unread("tea", 7))


def test_unread_is_what_others_said_and_did_not_take_back() -> None:
    world = given(TEA, ("ann", SendMessage(room="tea", text="hi @bob")))
    found = [heard("ann", 5), heard("bob", 6), heard("cat", 7, deleted=True), heard("cat", 8)]
    asked = world.asks("bob", ListRooms()).holding(found)
    (shown,) = asked.answer["rooms"]
    assert (shown["unread"], shown["mentions"], shown["seq"], shown["read"]) == (2, 1, 5, 3)


@pytest.mark.parametrize(("read", "first"), [(0, 1), (SHARED - 1, 1), (SHARED, SHARED + 1), (2 * SHARED + 1, 129)])
def test_who_has_read_nearly_the_same_has_the_same_rows_counted(read: int, first: int) -> None:
    said = [MessageSent(room="tea", author="ann", text="hi") for _ in range(3 * SHARED)]
    world = given(TEA, said).but("account:bob", rooms={"tea": Reading(read=read)})
    asked = world.asks("bob", ListRooms()).finds(unread("tea", 4 + 3 * SHARED, first))
    assert asked.answer.lasting


def test_what_was_read_before_is_not_counted_however_much_is_read_with_it() -> None:
    world = given(TEA, ("ann", SendMessage(room="tea", text="hi")))
    rows = [heard("ann", seq) for seq in range(1, limits.UNREAD + SHARED + 1)]
    (shown,) = world.asks("bob", ListRooms()).holding(rows).answer["rooms"]
    assert (shown["read"], shown["unread"]) == (3, limits.UNREAD)
    (shown,) = world.asks("bob", ListRooms()).holding(rows[: limits.UNREAD]).answer["rooms"]
    assert shown["unread"] == limits.UNREAD - 3


def test_of_many_the_first_are_looked_at() -> None:
    """Ones own and those taken back too count against how many that are."""
    world = given(TEA, ("ann", SendMessage(room="tea", text="hi")))
    rows = [heard("bob" if seq < 14 else "ann", seq) for seq in range(4, limits.UNREAD + 44)]
    (shown,) = world.asks("bob", ListRooms()).holding(rows).answer["rooms"]
    assert shown["unread"] == limits.UNREAD - 10


def test_unread_is_counted_for_each_room() -> None:
    said = [MessageSent(room=name, author="ann", text="hi") for name in ("tea", "club")]
    world = given(TEA, CLUB, room("quiet", bob="owner"), said)
    asked = world.asks("bob", ListRooms()).finds(unread("tea", 5), unread("club", 5))
    shown = asked.holding([heard("ann", 5)], []).answer["rooms"]
    assert [(each["id"], each["unread"]) for each in shown] == [("tea", 1), ("club", 0), ("quiet", 0)]


def test_a_room_is_shown_to_its_members_with_its_pins() -> None:
    said = MessageSent(room="tea", author="bob", text="hi")
    world = given(TEA, said, MessagePinned(room="tea", message=5))
    asked = world.asks("ann", ShowRoom(room="tea")).finds(unread("tea", 6))
    asked.holding([heard("bob", 5)]).answers(TEA_ROW | {"seq": 6, "unread": 1, "members": 3, "pins": [5]})


def test_a_public_room_is_shown_to_others_from_outside() -> None:
    given(TEA).asks("dan", ShowRoom(room="tea")).answers(TEA_ROW | {"read": 4, "role": None, "members": 3})


@pytest.mark.parametrize("name", ["club", "pair", "nowhere"])
def test_a_room_that_one_cannot_see_is_not_shown(name: str) -> None:
    given(CLUB, PAIR).asks("dan", ShowRoom(room=name)).refused("not_found", "room")


def test_public_rooms_are_browsed_by_title() -> None:
    world = given(TEA, CLUB)
    listed = Listed(list="public_rooms", text="green tea", limit=limits.PAGE)
    asked = world.asks("dan", BrowseRooms(text="Green TEA")).finds(listed)
    asked.holding(["room:tea"]).answers({"rooms": [{"id": "tea", "title": "tea", "members": 3, "joined": False}]})
    assert world.asks("cat", BrowseRooms()).holding(["room:tea"]).answer["rooms"][0]["joined"] is True


# ---- members


def members(world: Given, **asked: Any) -> tuple[list[str], bool]:
    answer = world.asks("ann", ListMembers(room="tea", **asked)).answer
    return [member["account"] for member in answer["members"]], answer["more"]


def test_members_are_listed_with_name_and_role() -> None:
    given(room("tea", ann="owner", bob="admin")).asks("bob", ListMembers(room="tea")).answers(
        {
            "members": [
                {"account": "ann", "name": "ann", "role": "owner"},
                {"account": "bob", "name": "bob", "role": "admin"},
            ],
            "more": False,
        }
    )


def test_members_are_listed_page_by_page_in_the_order_they_came() -> None:
    world = given(TEA)
    assert members(world) == (["ann", "bob", "cat"], False)
    assert members(world, limit=2) == (["ann", "bob"], True)
    assert members(world, limit=2, after="bob") == (["cat"], False)
    assert members(world, after="cat") == ([], False)
    world.asks("ann", ListMembers(room="tea", after="dan")).refused("not_found", "after")


def test_who_is_online_is_asked_of_a_room() -> None:
    asked = given(TEA).asks("cat", WhoIsOnline(room="tea"), online={"dan", "cat", "ann"})
    asked.answers({"online": ["ann", "cat"]})


# ---- accounts


def test_accounts_are_listed_by_id_those_that_there_are() -> None:
    asked = given().asks("ann", ListAccounts(accounts=("robot", "unheard-of", "gone", "olga", "robot")))
    asked.answers(
        {
            "accounts": [
                {"id": "robot", "name": "robot", "role": "member", "bot": True},
                {"id": "gone", "name": "gone", "role": "member", "active": False},
                {"id": "olga", "name": "olga", "role": "owner"},
            ],
            "more": False,
        }
    )


def test_accounts_are_listed_by_name() -> None:
    listed = Listed(list="accounts", text="an", limit=limits.PAGE + 1)
    asked = given().asks("bob", ListAccounts(text="AN")).finds(listed)
    asked.holding(["account:ann", "account:dan"]).answers(
        {
            "accounts": [
                {"id": "ann", "name": "ann", "role": "member"},
                {"id": "dan", "name": "dan", "role": "member"},
            ],
            "more": False,
        }
    )


def test_accounts_are_listed_page_by_page() -> None:
    world = given().but("account:ann", name="Ann")
    world.asks("bob", ListAccounts(after="ann")).finds(
        Listed(list="accounts", after=("ann", "account:ann"), limit=limits.PAGE + 1)
    )
    full = ["account:ann"] * (limits.PAGE + 1)
    answer = world.asks("bob", ListAccounts()).holding(full).answer
    assert (len(answer["accounts"]), answer["more"]) == (limits.PAGE, True)


# ---- sessions and invitations


def test_ones_sessions_are_listed_while_they_last() -> None:
    world = given(sessions("ann", "here", "there"))
    shown = {"started": EARLIER, "expires": MUCH_LATER}
    world.asks("ann", ListSessions(), session="here").answers(
        {"sessions": [{"session": "here", "current": True} | shown, {"session": "there"} | shown]}
    )
    world.asks("ann", ListSessions(), now=MUCH_LATER).answers({"sessions": []})


def test_invitations_are_listed_while_they_can_be_used() -> None:
    world = given(
        TEA,
        InviteCreated(invite="open", by="olga", uses=3, expires=MUCH_LATER, rooms=("tea",)),
        InviteUsed(invite="open"),
    )
    listed = Listed(list="invites", after=(NOW, ""), limit=limits.PAGE)
    asked = world.asks("adam", ListInvites()).finds(listed)
    asked.holding(["invite:open", "invite:unheard-of"]).answers(
        {
            "invites": [
                {
                    "invite": "open",
                    "by": "olga",
                    "uses": 3,
                    "left": 2,
                    "expires": MUCH_LATER,
                    "rooms": ["tea"],
                }
            ]
        }
    )


def test_an_invitation_names_no_room_that_the_asker_cannot_see() -> None:
    opens = InviteCreated(invite="open", by="olga", uses=3, expires=MUCH_LATER, rooms=("club", "nowhere", "tea"))
    world = given(TEA, CLUB, opens, MemberAdded(room="club", account="olga", role="owner"))
    for asker, rooms in (("adam", ["tea"]), ("olga", ["club", "tea"])):
        [shown] = world.asks(asker, ListInvites()).holding(["invite:open"]).answer["invites"]
        assert shown["rooms"] == rooms


def test_who_was_deactivated_stays_a_member_under_their_name() -> None:
    world = given(TEA, MemberAdded(room="tea", account="dan", role="member"), AccountDeactivated(account="dan"))
    assert members(world) == (["ann", "bob", "cat", "dan"], False)
