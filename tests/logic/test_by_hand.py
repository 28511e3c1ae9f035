"""Rules of what only whoever runs the server can wish, at no door."""

import pytest

from chat.domain.accounts import Account, PasswordSet, Session, SessionEnded, SetPassword
from chat.domain.errors import Refused
from chat.logic.accounts import set_password
from chat.logic.mediator import NOWHERE

COMMAND = SetPassword(account="ann", password="hash")
SESSION = Session(token="token", started="", expires="")


def test_a_password_is_set_and_every_session_ends() -> None:
    ann = Account(name="ann", sessions={"one": SESSION, "two": SESSION})
    assert set_password(ann, COMMAND, NOWHERE) == (
        ann,
        [
            PasswordSet(account="ann", password="hash"),
            SessionEnded(account="ann", session="one"),
            SessionEnded(account="ann", session="two"),
        ],
    )


@pytest.mark.parametrize(
    ("account", "code"), [(Account(), "not_found"), (Account(name="robot", bot=True), "forbidden")]
)
def test_it_takes_a_person(account: Account, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        set_password(account, COMMAND, NOWHERE)
    assert refusal.value.code == code
