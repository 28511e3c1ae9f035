"""How rooms come to be, who comes and goes, and what they are called."""

import pytest
from msgspec.structs import replace

from chat.domain import limits
from chat.domain.accounts import Account, Reading
from chat.domain.rooms import (
    AddMember,
    ArchiveRoom,
    ChangeRole,
    CreateRoom,
    Direct,
    JoinRoom,
    LeaveRoom,
    MemberAdded,
    MemberRemoved,
    OpenDirect,
    RemoveMember,
    RenameRoom,
    RoleChanged,
    Room,
    RoomArchived,
    RoomCreated,
    RoomRenamed,
    RoomUnarchived,
    UnarchiveRoom,
)
from chat.domain.vocabulary import Command, Kind
from tests.logic.given import CLUB, PAIR, PAIR_KEY, TEA, Given, given

ARCHIVED = RoomArchived(room="tea")
REMOVED = MemberRemoved(room="tea", account="dan", by="bob")
TEA_TITLE = RenameRoom(room="tea", title="Green tea")


def crowded(world: Given, members: int) -> Given:
    """The tea room with this many members: ann, and some whom nobody knows."""
    others = {f"m{number}": "member" for number in range(members - 1)}
    return world.but("room:tea", members={"ann": "owner", **others})


def busy(world: Given, account: str, rooms: int) -> Given:
    """With an account that is in this many rooms."""
    return world.but(f"account:{account}", rooms={f"r{number}": Reading() for number in range(rooms)})


# ---- creating


@pytest.mark.parametrize("kind", ["public", "private"])
def test_anybody_may_create_a_room_and_owns_it(kind: Kind) -> None:
    given().when("ann", CreateRoom(title="Tea", kind=kind), fresh="tea").then(
        RoomCreated(room="tea", title="Tea", kind=kind),
        MemberAdded(room="tea", account="ann", role="owner"),
    )


def test_a_created_room_stands_with_its_members_in_order() -> None:
    command = CreateRoom(title="Tea", kind="private", members=("cat", "bob"))
    world = given().when("ann", command, fresh="tea").world
    state = world.look("room:tea", Room)
    assert (state.title, state.kind, state.archived) == ("Tea", "private", False)
    assert list(state.members.items()) == [("ann", "owner"), ("cat", "member"), ("bob", "member")]
    assert world.look("account:cat", Account).rooms == {"tea": Reading(read=3)}


def test_a_room_is_created_with_each_of_its_first_members_once() -> None:
    command = CreateRoom(title="Tea", kind="public", members=("bob", "ann", "bob"))
    given().when("ann", command, fresh="tea").then(
        RoomCreated(room="tea", title="Tea", kind="public"),
        MemberAdded(room="tea", account="ann", role="owner"),
        MemberAdded(room="tea", account="bob", role="member"),
    )


@pytest.mark.parametrize("stranger", ["gone", "unheard-of"])
def test_a_room_cannot_be_created_with_those_who_have_no_account(stranger: str) -> None:
    command = CreateRoom(title="Tea", kind="public", members=("bob", stranger))
    given().when("ann", command).refused("not_found", "members")


def test_a_direct_room_is_opened_and_not_created() -> None:
    given().when("ann", CreateRoom(title="Us", kind="direct")).refused("malformed", "kind")


@pytest.mark.parametrize("full", ["ann", "bob"])
def test_nobody_is_in_more_rooms_than_the_limit(full: str) -> None:
    command = CreateRoom(title="Tea", kind="public", members=("bob",))
    assert busy(given(), full, limits.ACCOUNT_ROOMS - 1).when("ann", command).recorded
    busy(given(), full, limits.ACCOUNT_ROOMS).when("ann", command).refused("full")


# ---- direct rooms


def test_a_direct_room_is_opened_by_either_of_two() -> None:
    world = (
        given()
        .when("ann", OpenDirect(account="bob"), fresh="pair")
        .then(
            RoomCreated(room="pair", title="", kind="direct", between=("ann", "bob")),
            MemberAdded(room="pair", account="ann", role="member"),
            MemberAdded(room="pair", account="bob", role="member"),
        )
    )
    assert world.look(PAIR_KEY, Direct).room == "pair"
    world.when("bob", OpenDirect(account="ann"), fresh="another").then()


def test_a_direct_room_stays_open_to_whom_it_has_when_the_other_is_gone() -> None:
    given(PAIR).but("account:bob", active=False).when("ann", OpenDirect(account="bob")).then()


def test_a_direct_room_takes_somebody_else() -> None:
    given().when("ann", OpenDirect(account="ann")).refused("malformed", "account")


@pytest.mark.parametrize("stranger", ["gone", "unheard-of"])
def test_a_direct_room_takes_somebody_with_an_account(stranger: str) -> None:
    given().when("ann", OpenDirect(account=stranger)).refused("not_found", "account")


@pytest.mark.parametrize("full", ["ann", "bob"])
def test_a_direct_room_counts_among_the_rooms_of_both(full: str) -> None:
    assert busy(given(), full, limits.ACCOUNT_ROOMS - 1).when("ann", OpenDirect(account="bob")).recorded
    busy(given(), full, limits.ACCOUNT_ROOMS).when("ann", OpenDirect(account="bob")).refused("full")


@pytest.mark.parametrize(
    "command",
    [
        RenameRoom(room="pair", title="Us"),
        ArchiveRoom(room="pair"),
        UnarchiveRoom(room="pair"),
        LeaveRoom(room="pair"),
        AddMember(room="pair", account="cat"),
        RemoveMember(room="pair", account="bob"),
        ChangeRole(room="pair", account="bob", role="owner"),
    ],
)
def test_a_direct_room_has_its_two_members_for_ever(command: Command) -> None:
    given(PAIR).when("ann", command).refused("forbidden")
    given(PAIR).when("olga", command).refused("not_found", "room")


# ---- title and archive


def test_a_room_is_renamed() -> None:
    world = given(TEA).when("bob", TEA_TITLE).then(RoomRenamed(room="tea", title="Green tea"))
    assert world.look("room:tea", Room).title == "Green tea"
    world.when("bob", TEA_TITLE).then()


def test_a_room_is_archived_once_and_opened_again_once() -> None:
    world = given(TEA).when("bob", ArchiveRoom(room="tea")).then(RoomArchived(room="tea"))
    assert world.look("room:tea", Room).archived
    world.when("bob", ArchiveRoom(room="tea")).then()
    world = world.when("bob", UnarchiveRoom(room="tea")).then(RoomUnarchived(room="tea"))
    assert not world.look("room:tea", Room).archived
    world.when("bob", UnarchiveRoom(room="tea")).then()


@pytest.mark.parametrize(
    "command", [TEA_TITLE, AddMember(room="tea", account="dan")], ids=["rename_room", "add_member"]
)
def test_an_archived_room_does_not_change(command: Command) -> None:
    given(TEA, ARCHIVED).when("ann", command).refused("archived")


def test_an_archived_room_is_not_joined() -> None:
    given(TEA, ARCHIVED).when("dan", JoinRoom(room="tea")).refused("archived")


def test_an_archived_room_lets_people_go() -> None:
    given(TEA, ARCHIVED).when("cat", LeaveRoom(room="tea")).then(MemberRemoved(room="tea", account="cat"))
    out = RemoveMember(room="tea", account="cat")
    given(TEA, ARCHIVED).when("bob", out).then(MemberRemoved(room="tea", account="cat"))
    heir = ChangeRole(room="tea", account="bob", role="owner")
    given(TEA, ARCHIVED).when("ann", heir).then(RoleChanged(room="tea", account="bob", role="owner"))


# ---- coming


def test_anybody_may_join_a_public_room_once() -> None:
    joined = MemberAdded(room="tea", account="dan", role="member")
    world = given(TEA).when("dan", JoinRoom(room="tea")).then(joined)
    assert world.look("room:tea", Room).members["dan"] == "member"
    world.when("dan", JoinRoom(room="tea")).then()


@pytest.mark.parametrize("name", ["club", "pair", "nowhere"])
def test_a_room_that_one_cannot_see_is_not_found(name: str) -> None:
    given(CLUB, PAIR).when("dan", JoinRoom(room=name)).refused("not_found", "room")


def test_who_was_removed_is_barred_until_added_again() -> None:
    dan_joined = MemberAdded(room="tea", account="dan", role="member")
    world = given(TEA, dan_joined, REMOVED)
    world.when("dan", JoinRoom(room="tea")).refused("barred")
    world = world.when("bob", AddMember(room="tea", account="dan")).then(dan_joined)
    assert world.look("room:tea", Room).barred == ()
    world = world.when("dan", LeaveRoom(room="tea")).then(MemberRemoved(room="tea", account="dan"))
    world.when("dan", JoinRoom(room="tea")).then(dan_joined)


def test_a_member_is_added_once() -> None:
    added = MemberAdded(room="club", account="dan", role="member")
    world = given(CLUB).when("bob", AddMember(room="club", account="dan")).then(added)
    world.when("bob", AddMember(room="club", account="dan")).then()


@pytest.mark.parametrize("stranger", ["gone", "unheard-of"])
def test_only_accounts_in_use_are_added(stranger: str) -> None:
    given(TEA).when("bob", AddMember(room="tea", account=stranger)).refused("not_found", "account")


def test_a_room_has_no_more_members_than_the_limit() -> None:
    almost, full = (crowded(given(TEA), limits.ROOM_MEMBERS - less) for less in (1, 0))
    assert almost.when("dan", JoinRoom(room="tea")).recorded
    assert almost.when("ann", AddMember(room="tea", account="dan")).recorded
    full.when("dan", JoinRoom(room="tea")).refused("full")
    full.when("ann", AddMember(room="tea", account="dan")).refused("full")


def test_who_is_in_as_many_rooms_as_the_limit_comes_into_no_other() -> None:
    almost, full = (busy(given(TEA), "dan", limits.ACCOUNT_ROOMS - less) for less in (1, 0))
    assert almost.when("dan", JoinRoom(room="tea")).recorded
    full.when("dan", JoinRoom(room="tea")).refused("full")
    full.when("ann", AddMember(room="tea", account="dan")).refused("full")


# ---- going


def test_who_leaves_is_gone_and_free_to_come_back() -> None:
    world = given(TEA).when("cat", LeaveRoom(room="tea")).then(MemberRemoved(room="tea", account="cat"))
    assert list(world.look("room:tea", Room).members) == ["ann", "bob"]
    assert world.look("room:tea", Room).barred == ()
    assert world.look("account:cat", Account).rooms == {}


def test_the_last_owner_of_a_room_cannot_leave() -> None:
    given(TEA).when("ann", LeaveRoom(room="tea")).refused("last_owner")
    heir = RoleChanged(room="tea", account="bob", role="owner")
    given(TEA, heir).when("ann", LeaveRoom(room="tea")).then(MemberRemoved(room="tea", account="ann"))


def test_a_removed_member_is_gone_and_barred() -> None:
    out = MemberRemoved(room="tea", account="cat")
    world = given(TEA).when("bob", RemoveMember(room="tea", account="cat")).then(out)
    assert "cat" not in world.look("room:tea", Room).members
    assert world.look("room:tea", Room).barred == ("cat",)


def test_nobody_is_removed_who_is_not_there() -> None:
    given(TEA).when("bob", RemoveMember(room="tea", account="dan")).then()


def test_nobody_removes_themselves() -> None:
    given(TEA).when("bob", RemoveMember(room="tea", account="bob")).refused("malformed", "account")


def test_an_admin_removes_admins_and_no_owners() -> None:
    other = RoleChanged(room="tea", account="cat", role="admin")
    out = MemberRemoved(room="tea", account="cat")
    given(TEA, other).when("bob", RemoveMember(room="tea", account="cat")).then(out)
    given(TEA).when("bob", RemoveMember(room="tea", account="ann")).refused("forbidden")


def test_an_owner_removes_another_owner() -> None:
    other = RoleChanged(room="tea", account="bob", role="owner")
    out = MemberRemoved(room="tea", account="bob")
    given(TEA, other).when("ann", RemoveMember(room="tea", account="bob")).then(out)


# ---- roles


def test_an_owner_changes_roles() -> None:
    raised = RoleChanged(room="tea", account="cat", role="admin")
    world = given(TEA).when("ann", ChangeRole(room="tea", account="cat", role="admin")).then(raised)
    assert world.look("room:tea", Room).members["cat"] == "admin"
    world.when("ann", ChangeRole(room="tea", account="cat", role="admin")).then()


def test_only_members_have_a_role() -> None:
    given(TEA).when("ann", ChangeRole(room="tea", account="dan", role="admin")).refused("not_found", "account")


def test_the_last_owner_of_a_room_cannot_be_demoted() -> None:
    demotion = ChangeRole(room="tea", account="ann", role="member")
    given(TEA).when("ann", demotion).refused("last_owner")
    heir = RoleChanged(room="tea", account="bob", role="owner")
    given(TEA, heir).when("ann", demotion).then(RoleChanged(room="tea", account="ann", role="member"))


def test_a_role_keeps_its_place_among_the_members() -> None:
    state = given(TEA, RoleChanged(room="tea", account="ann", role="admin")).look("room:tea", Room)
    assert state == replace(state, members={"ann": "admin", "bob": "admin", "cat": "member"})
    assert list(state.members) == ["ann", "bob", "cat"]
