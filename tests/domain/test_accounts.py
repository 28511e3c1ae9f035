"""Accounts, sessions and invitations as values."""

import msgspec
import pytest

from chat.domain import accounts
from chat.domain.accounts import Account, InviteCreated, InviteRevoked, InviteUsed, Reading, Session
from chat.domain.vocabulary import AccountEvent, Command, PrivateEvent, PublicEvent

FORMS: dict[type[Command], type[Command]] = {
    accounts.RegisterForm: accounts.Register,
    accounts.LogInForm: accounts.LogIn,
    accounts.ChangePasswordForm: accounts.ChangePassword,
    accounts.CreateInviteForm: accounts.CreateInvite,
    accounts.ResetPasswordForm: accounts.ResetPassword,
    accounts.CreateBotForm: accounts.CreateBot,
}


def tag(kind: type[Command]) -> object:
    return kind.__struct_config__.tag


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_is_called_as_the_command_that_is_made_of_it(form: type[Command]) -> None:
    assert tag(form) == tag(FORMS[form])


@pytest.mark.parametrize(
    ("base", "names"),
    [
        (AccountEvent, {"SessionStarted", "SessionEnded"}),
        (
            PublicEvent,
            {
                "AccountRegistered",
                "AccountRenamed",
                "AccountDeactivated",
                "AccountReactivated",
                "AccountPromoted",
            },
        ),
        (
            PrivateEvent,
            {"PasswordSet", "PasswordSpent", "TokenIssued", "InviteEvent"},
        ),
    ],
)
def test_who_hears_of_what_is_told_by_its_base(base: type[AccountEvent], names: set[str]) -> None:
    here = {kind.__name__ for kind in vars(accounts).values() if getattr(kind, "__base__", None) is base}
    assert here - {"PublicEvent", "PrivateEvent"} == names


def test_every_event_with_a_hash_is_private() -> None:
    for kind in (accounts.PasswordSet, accounts.TokenIssued, accounts.InviteCreated, InviteUsed, InviteRevoked):
        assert issubclass(kind, PrivateEvent)


def test_an_invitation_has_a_stream_of_its_own() -> None:
    for event in (
        InviteCreated(account="ann", invite="hash", uses=1, expires=""),
        InviteUsed(account="ann", invite="hash"),
        InviteRevoked(account="ann", invite="hash"),
    ):
        assert event.stream == "invite:hash"


def test_an_account_is_stored_and_read_again() -> None:
    account = Account(
        name="ann",
        sessions={"s": Session(token="t", started="a", expires="b")},
        rooms={"tea": Reading(read=5, mentions=(6,))},
    )
    assert msgspec.json.decode(msgspec.json.encode(account), type=Account) == account
    assert msgspec.json.decode(b"{}", type=Account) == Account()
