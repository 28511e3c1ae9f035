"""Forms with secrets, made into commands without: passwords are hashed or verified, and tokens drawn, out here.

The core sees only hashes. What is given to the sender once, and never again, comes beside the command.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from chat.application.ports import Ids, Passwords, Tokens
from chat.application.reading import Reading
from chat.domain.accounts import (
    Account,
    ChangePassword,
    ChangePasswordForm,
    CreateBot,
    CreateBotForm,
    CreateInvite,
    CreateInviteForm,
    LogIn,
    LogInForm,
    Register,
    RegisterForm,
    ResetPassword,
    ResetPasswordForm,
    TakenName,
)
from chat.domain.errors import Refused
from chat.domain.vocabulary import Command
from chat.logic.keys import account_key, name_key
from chat.logic.mediator import Context
from chat.logic.sessions import password_of

FORMS: Final = (
    RegisterForm,
    LogInForm,
    ChangePasswordForm,
    CreateInviteForm,
    ResetPasswordForm,
    CreateBotForm,
)
SLOW: Final = frozenset({RegisterForm, LogInForm, ChangePasswordForm, ResetPasswordForm})  # they hash a password
WRONG: Final = "wrong"  # no hash


class Opened(NamedTuple):
    """A command without secrets, whom it acts for, the id that a new thing gets, and what to tell the sender once."""

    command: Command
    actor: str
    fresh: str
    told: dict[str, str]


class Forms:
    """One method for each form, by the form's type, in `by_form`."""

    def __init__(self, reading: Reading, passwords: Passwords, tokens: Tokens, ids: Ids) -> None:
        self._reading = reading
        self._passwords = passwords
        self._tokens = tokens
        self._ids = ids
        self.by_form: dict[type[Command], Callable[[Any, str], Awaitable[Opened]]] = {
            RegisterForm: self.register,
            LogInForm: self.log_in,
            ChangePasswordForm: self.change_password,
            CreateInviteForm: self.create_invite,
            ResetPasswordForm: self.reset_password,
            CreateBotForm: self.create_bot,
        }

    async def register(self, form: RegisterForm, _: str) -> Opened:
        """The account that is to be acts for itself."""
        fresh = self._ids.fresh()
        secret, token = self._tokens.draw()
        invite = self._tokens.hash(form.invite) if form.invite else None
        password = await self._passwords.hash(form.password)
        command = Register(id=form.id, name=form.name, password=password, token=token, invite=invite)
        return Opened(command, fresh, fresh, {"token": f"{fresh}.{secret}"})

    async def log_in(self, form: LogInForm, _: str) -> Opened:
        """Takes the same time whatever it is refused for."""
        name, account = await self._reading.consult(lambda context: _named(form.name, context))
        password = password_of(account)
        if not await self._passwords.verify(password, form.password):
            raise Refused("wrong_credentials")
        secret, token = self._tokens.draw()
        command = LogIn(id=form.id, account=name, password=password, token=token)
        return Opened(command, name, self._ids.fresh(), {"token": f"{name}.{secret}", "account": name})

    async def change_password(self, form: ChangePasswordForm, actor: str) -> Opened:
        """A wrong password goes on as no hash at all: the rule refuses it, unless this was carried out before."""
        account = await self._reading.consult(lambda context: context.look(account_key(actor), Account))
        if await self._passwords.verify(account.password, form.old):
            new = await self._passwords.hash(form.new)
            command = ChangePassword(id=form.id, old=account.password, new=new)
        else:
            command = ChangePassword(id=form.id, old=WRONG, new=WRONG)
        return Opened(command, actor, self._ids.fresh(), {})

    async def create_invite(self, form: CreateInviteForm, actor: str) -> Opened:
        secret, invite = self._tokens.draw()
        command = CreateInvite(id=form.id, invite=invite, uses=form.uses, hours=form.hours, rooms=form.rooms)
        return Opened(command, actor, self._ids.fresh(), {"token": secret})

    async def reset_password(self, form: ResetPasswordForm, actor: str) -> Opened:
        password = self._tokens.draw_password()
        hashed = await self._passwords.hash(password)
        command = ResetPassword(id=form.id, account=form.account, password=hashed)
        return Opened(command, actor, self._ids.fresh(), {"password": password})

    async def create_bot(self, form: CreateBotForm, actor: str) -> Opened:
        fresh = self._ids.fresh()
        secret, token = self._tokens.draw()
        command = CreateBot(id=form.id, name=form.name, token=token)
        return Opened(command, actor, fresh, {"token": f"{fresh}.{secret}"})


def whose_password(form: Command, actor: str) -> str:
    """Whose password is tried with this form, if it is one to try: by the name that is given, whether there is such an
    account or not.
    """
    if isinstance(form, LogInForm):
        return name_key(form.name)
    return account_key(actor) if isinstance(form, ChangePasswordForm) else ""


def is_proved(opened: Opened) -> bool:
    return not (isinstance(opened.command, ChangePassword) and opened.command.old == WRONG)


def _named(name: str, context: Context) -> tuple[str, Account]:
    """Whose a name is. Nobody is looked for as long as somebody."""
    key = name_key(name)
    account = context.look(key, TakenName).account
    return account, context.look(account_key(account or key), Account)
