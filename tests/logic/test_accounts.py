"""Names, passwords and roles, and the invitations that let somebody in."""

import pytest

from chat.domain import limits
from chat.domain.accounts import (
    Account,
    AccountDeactivated,
    AccountPromoted,
    AccountReactivated,
    AccountRegistered,
    AccountRenamed,
    ChangePassword,
    CreateBot,
    CreateInvite,
    DeactivateAccount,
    Invite,
    InviteCreated,
    InviteRevoked,
    InviteUsed,
    PasswordSet,
    PromoteAccount,
    ReactivateAccount,
    Register,
    RenameAccount,
    ResetPassword,
    RevokeInvite,
    Server,
    SessionEnded,
    SessionStarted,
    TakenName,
    TokenIssued,
)
from chat.domain.rooms import MemberAdded, RoomArchived
from chat.domain.vocabulary import Command, Event, Role
from tests.logic.given import CLUB, NOBODY, NOW, PAIR, TEA, given, sessions

LATER = "2026-02-07T12:00:00.000000Z"
IN_90_DAYS = "2026-05-01T12:00:00.000000Z"

EVE = Register(name="eve", password="hash", token="token")  # whom nobody has heard of yet
INVITED = Register(name="eve", password="hash", token="token", invite="open")
OPEN = InviteCreated(account="olga", by="olga", invite="open", uses=1, expires=LATER)


def registered(role: Role = "member", *between: Event) -> list[Event]:
    return [
        AccountRegistered(account="fresh", name="eve", role=role),
        PasswordSet(account="fresh", password="hash"),
        *between,
        TokenIssued(account="fresh", session="fresh", token="token", expires=IN_90_DAYS),
        SessionStarted(account="fresh", session="fresh", expires=IN_90_DAYS),
    ]


# ---- registering


def test_the_first_account_owns_the_server_and_needs_no_invitation() -> None:
    world = NOBODY.when("fresh", EVE).then(*registered("owner"))
    assert world.look("server:", Server) == Server(accounts=1, owners=("fresh",))
    assert world.look("name:eve", TakenName).account == "fresh"
    account = world.look("account:fresh", Account)
    assert (account.name, account.role, account.password, list(account.sessions)) == (
        "eve",
        "owner",
        "hash",
        ["fresh"],
    )


def test_the_first_account_is_let_in_even_where_registration_is_closed() -> None:
    NOBODY.when("fresh", EVE, registration="closed").then(*registered("owner"))


def test_the_first_account_takes_the_set_up_link_where_one_is_asked_for() -> None:
    NOBODY.when("fresh", EVE, setup="link").refused("forbidden")
    NOBODY.when("fresh", INVITED, setup="link").refused("forbidden")
    NOBODY.when("fresh", INVITED, setup="open").then(*registered("owner"))
    given().when("fresh", EVE, setup="link", registration="open").then(*registered())


def test_the_second_account_needs_an_invitation() -> None:
    given().when("fresh", EVE).refused("closed")
    given().when("fresh", EVE, registration="closed").refused("closed")
    given(OPEN).when("fresh", INVITED, registration="closed").refused("closed")
    given().when("fresh", EVE, registration="open").then(*registered())


@pytest.mark.parametrize("registration", ["open", "invite"])
def test_an_invitation_lets_somebody_in(registration: str) -> None:
    used = InviteUsed(account="fresh", invite="open")
    world = given(OPEN).when("fresh", INVITED, registration=registration)
    assert world.then(*registered("member", used)).look("invite:open", Invite).used == 1


@pytest.mark.parametrize("registration", ["open", "invite"])
def test_an_invitation_that_is_not_there_lets_nobody_in(registration: str) -> None:
    given().when("fresh", INVITED, registration=registration).refused("used_up")


def test_an_invitation_is_used_up_expires_and_is_revoked() -> None:
    used, revoked = InviteUsed(account="ann", invite="open"), InviteRevoked(account="olga", invite="open")
    given(OPEN, used).when("fresh", INVITED).refused("used_up")
    given(OPEN, revoked).when("fresh", INVITED).refused("used_up")
    given(OPEN).when("fresh", INVITED, now=LATER).refused("used_up")
    almost = LATER.replace("12:00:00.000000", "11:59:59.999999")
    assert given(OPEN).when("fresh", INVITED, now=almost).recorded


def test_an_invitation_opens_rooms() -> None:
    world = given(TEA, CLUB, OPEN).but("invite:open", rooms=("tea", "club"))
    world.when("fresh", INVITED).then(
        *registered(
            "member",
            InviteUsed(account="fresh", invite="open"),
            MemberAdded(room="tea", account="fresh", role="member"),
            MemberAdded(room="club", account="fresh", role="member"),
        )
    )


def test_an_invitation_skips_rooms_that_are_archived_or_full() -> None:
    many = {f"m{number}": "member" for number in range(limits.ROOM_MEMBERS)}
    world = given(TEA, CLUB, OPEN, RoomArchived(room="club")).but("invite:open", rooms=("tea", "club"))
    only_used = registered("member", InviteUsed(account="fresh", invite="open"))
    world.but("room:tea", members=many).when("fresh", INVITED).then(*only_used)


# ---- names


@pytest.mark.parametrize("name", ["ann", "ANN", "ａｎｎ"])
def test_a_name_is_taken_however_it_is_written(name: str) -> None:
    taken = Register(name=name, password="hash", token="token")
    given().when("fresh", taken, registration="open").refused("name_taken", "name")
    given().when("bob", RenameAccount(name=name)).refused("name_taken", "name")
    given().when("olga", CreateBot(name=name, token="token")).refused("name_taken", "name")


def test_an_account_takes_another_name_and_keeps_the_first() -> None:
    world = given().when("ann", RenameAccount(name="Anna"))
    renamed = world.then(AccountRenamed(account="ann", name="Anna"))
    assert renamed.look("account:ann", Account).name == "Anna"
    renamed.when("bob", RenameAccount(name="anna")).refused("name_taken", "name")
    renamed.when("bob", RenameAccount(name="ann")).refused("name_taken", "name")
    renamed.when("ann", RenameAccount(name="ann")).then(AccountRenamed(account="ann", name="ann"))
    renamed.when("ann", RenameAccount(name="ANNA")).then(AccountRenamed(account="ann", name="ANNA"))
    renamed.when("ann", RenameAccount(name="Anna")).then()


# ---- passwords


def test_a_changed_password_ends_the_other_sessions() -> None:
    world = given(PasswordSet(account="ann", password="old"), sessions("ann", "here", "there"))
    world.when("ann", ChangePassword(old="old", new="new"), session="here").then(
        PasswordSet(account="ann", password="new"), SessionEnded(account="ann", session="there")
    )


def test_a_password_is_changed_by_who_knows_the_old_one() -> None:
    world = given(PasswordSet(account="ann", password="old"))
    world.when("ann", ChangePassword(old="other", new="new")).refused("wrong_credentials", "old")


def test_a_reset_password_ends_every_session() -> None:
    world = given(sessions("ann", "here", "there")).when("adam", ResetPassword(account="ann", password="new"))
    after = world.then(
        PasswordSet(account="ann", password="new", one_time=True),
        SessionEnded(account="ann", session="here"),
        SessionEnded(account="ann", session="there"),
    )
    account = after.look("account:ann", Account)
    assert (account.password, account.one_time, account.sessions) == ("new", True, {})


def test_a_one_time_password_is_replaced_for_good() -> None:
    world = given(PasswordSet(account="ann", password="once", one_time=True))
    account = world.when("ann", ChangePassword(old="once", new="new")).world.look("account:ann", Account)
    assert (account.password, account.one_time, account.spent) == ("new", False, False)


def test_a_bot_has_no_password() -> None:
    given().when("olga", ResetPassword(account="robot", password="new")).refused("forbidden")


# ---- roles on the server


def test_admins_act_on_nobody_above_them() -> None:
    given().when("adam", ResetPassword(account="olga", password="new")).refused("forbidden")
    given().when("adam", DeactivateAccount(account="olga")).refused("forbidden")
    world = given(AccountPromoted(account="ann", role="owner"), AccountDeactivated(account="ann"))
    world.when("adam", ReactivateAccount(account="ann")).refused("forbidden")
    assert world.when("olga", ReactivateAccount(account="ann")).recorded
    assert given().when("adam", ResetPassword(account="adam", password="new")).recorded


@pytest.mark.parametrize(
    "command",
    [
        ResetPassword(account="unheard-of", password="new"),
        PromoteAccount(account="unheard-of", role="admin"),
        DeactivateAccount(account="unheard-of"),
        ReactivateAccount(account="unheard-of"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nobody_acts_on_an_account_that_is_not_there(command: Command) -> None:
    given().when("olga", command).refused("not_found", "account")


def test_an_owner_promotes_and_demotes() -> None:
    raised = AccountPromoted(account="ann", role="owner")
    world = given().when("olga", PromoteAccount(account="ann", role="owner")).then(raised)
    assert world.look("server:", Server).owners == ("olga", "ann")
    world.when("olga", PromoteAccount(account="ann", role="owner")).then()
    lowered = AccountPromoted(account="olga", role="admin")
    world = world.when("ann", PromoteAccount(account="olga", role="admin")).then(lowered)
    assert world.look("server:", Server).owners == ("ann",)
    assert world.look("account:olga", Account).role == "admin"


def test_the_last_owner_of_the_server_stays() -> None:
    given().when("olga", PromoteAccount(account="olga", role="member")).refused("last_owner")
    given().when("olga", DeactivateAccount(account="olga")).refused("last_owner")


def test_an_owner_who_was_deactivated_does_not_count_as_one_who_stays() -> None:
    two = given(AccountPromoted(account="ann", role="owner"))
    one = two.when("olga", DeactivateAccount(account="ann")).then(AccountDeactivated(account="ann"))
    assert one.look("server:", Server).owners == ("olga",)
    one.when("olga", DeactivateAccount(account="olga")).refused("last_owner")
    back = AccountReactivated(account="ann", role="owner")
    both = one.when("olga", ReactivateAccount(account="ann")).then(back)
    assert both.look("server:", Server).owners == ("olga", "ann")


def test_nobody_deactivated_becomes_an_owner() -> None:
    given().when("olga", PromoteAccount(account="gone", role="owner")).refused("forbidden")
    raised = AccountPromoted(account="gone", role="admin")
    given().when("olga", PromoteAccount(account="gone", role="admin")).then(raised)


def test_a_bot_may_be_an_admin_and_not_an_owner() -> None:
    raised = AccountPromoted(account="robot", role="admin")
    given().when("olga", PromoteAccount(account="robot", role="admin")).then(raised)
    given().when("olga", PromoteAccount(account="robot", role="owner")).refused("forbidden")


def test_a_deactivated_account_loses_its_sessions() -> None:
    out = AccountDeactivated(account="ann")
    world = given(sessions("ann", "here")).when("adam", DeactivateAccount(account="ann"))
    after = world.then(out, SessionEnded(account="ann", session="here"))
    assert not after.look("account:ann", Account).active
    after.when("adam", DeactivateAccount(account="ann")).then()


def test_a_deactivated_account_comes_back() -> None:
    back = AccountReactivated(account="gone", role="member")
    after = given().when("adam", ReactivateAccount(account="gone")).then(back)
    assert after.look("account:gone", Account).active
    after.when("adam", ReactivateAccount(account="gone")).then()


# ---- bots


def test_a_bot_has_one_token_that_does_not_expire() -> None:
    for_ever = "9999-12-31T23:59:59.999999Z"
    world = given().when("adam", CreateBot(name="helper", token="token"))
    after = world.then(
        AccountRegistered(account="fresh", name="helper", role="member", bot=True),
        TokenIssued(account="fresh", session="fresh", token="token", expires=for_ever),
        SessionStarted(account="fresh", session="fresh", expires=for_ever),
    )
    assert after.look("account:fresh", Account).bot


# ---- invitations


def test_an_admin_invites() -> None:
    invitation = CreateInvite(invite="open", uses=3, hours=24 * 7)
    created = InviteCreated(account="adam", invite="open", uses=3, expires=LATER)
    world = given().when("adam", invitation).then(created)
    assert world.look("invite:open", Invite) == Invite(by="adam", uses=3, expires=LATER)


def test_an_invitation_opens_only_rooms_that_the_inviter_could_open() -> None:
    world = given(TEA, CLUB, PAIR, MemberAdded(room="club", account="adam", role="member"))
    opens_both = CreateInvite(invite="open", rooms=("club", "club"))
    created = InviteCreated(account="adam", invite="open", uses=1, expires=LATER, rooms=("club",))
    world.when("adam", opens_both).then(created)
    for name in ("tea", "pair", "nowhere"):
        command = CreateInvite(invite="open", rooms=("club", name))
        world.when("adam", command).refused("not_found", "rooms")


def test_an_invitation_never_opens_a_direct_room() -> None:
    world = given(PAIR, AccountPromoted(account="ann", role="admin"))
    world.when("ann", CreateInvite(invite="open", rooms=("pair",))).refused("not_found", "rooms")


def test_an_invitation_is_revoked_once() -> None:
    revoked = InviteRevoked(account="adam", invite="open")
    world = given(OPEN).when("adam", RevokeInvite(invite="open")).then(revoked)
    assert world.look("invite:open", Invite).revoked
    world.when("adam", RevokeInvite(invite="open")).then()
    given().when("adam", RevokeInvite(invite="open")).refused("not_found", "invite")


def test_times_are_those_of_the_context() -> None:
    world = given().when("adam", CreateInvite(invite="open", hours=1), now=LATER).world
    assert world.look("invite:open", Invite).expires == "2026-02-07T13:00:00.000000Z"
    assert NOW < LATER < IN_90_DAYS
