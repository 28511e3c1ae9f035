"""What nodes are held against: the same wishes, carried out by the rules alone, one after the other."""

from copy import copy
from random import Random

from msgspec.structs import replace

from chat.application.queue import Again
from chat.domain.accounts import LogIn, Register
from chat.domain.log import Recorded
from chat.logic.acknowledge import acknowledge
from tests.laws.history import KINDS
from tests.laws.side import Carried, Clock, Told, told
from tests.laws.world import Seen, look, wish
from tests.logic.given import NOBODY, TABLES, Known


class Reference:
    def __init__(self, clock: Clock) -> None:
        self.world = NOBODY
        self.acknowledged: list[Carried] = []
        self.recorded: list[Recorded] = []
        self._clock = clock
        self._answered: dict[tuple[str, str], bytes] = {}
        self._numbers = 0

    def copy(self) -> "Reference":
        """As it is now, whatever is carried out on this one."""
        other = copy(self)
        other.acknowledged, other.recorded = self.acknowledged[:], self.recorded[:]
        other._answered = dict(self._answered)
        return other

    @property
    def seen(self) -> Seen:
        return look(self.world.states)

    @property
    def sessions(self) -> dict[str, list[str]]:
        """Of everybody who could be connected, the oldest first."""
        accounts = self.seen.accounts.items()
        return {name: list(account.sessions) for name, account in accounts if account.active and account.sessions}

    def batch(self, chance: Random) -> list[Carried]:
        """What some people wish at once."""
        return [self._wished(chance) for _ in range(chance.randint(1, 6))]

    def _wished(self, chance: Random) -> Carried:
        """Of whoever registers or logs in, the account acts."""
        self._numbers += 1
        actor, session, command = wish(chance, self.seen, KINDS)
        fresh = f"id{self._numbers}"
        if isinstance(command, Register):
            actor = fresh
        elif isinstance(command, LogIn):
            actor = command.account
        return Carried(replace(command, id=f"c{self._numbers}"), actor, session, fresh)

    def carry_out(self, one: Carried) -> Told:
        """What its sender is to be told."""
        command, actor, session, fresh = one
        if first := self._answered.get((actor, command.id)):
            return told(Again(first))
        beside = {"session": session, "fresh": fresh, "now": self._clock.now(), "registration": "open"}
        outcome = self.world.when(actor, command, **beside)
        if outcome.refusal:
            return told(outcome.refusal)
        self.world = outcome.world
        key_of, _ = TABLES.commands[type(command)]
        state = Known(self.world.versions).get(key_of(command, self.world.context(actor, **beside))).state
        answer = acknowledge(command, state, outcome.recorded)
        self._answered[actor, command.id] = answer
        self.acknowledged.append(one)
        self.recorded += outcome.recorded
        return told(answer)
