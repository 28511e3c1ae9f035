"""The second pass over a log: everything folded anew, and shown to whoever compares or writes it.

The states of rooms, accounts and the like are all kept. A message is kept only from the event that begins it to the
last one about it, which the survey knows.
"""

from collections.abc import Sequence
from typing import Protocol

from chat.application.maintenance.findings import Findings
from chat.application.maintenance.progress import Progress
from chat.application.maintenance.survey import MESSAGE, Survey, pages
from chat.application.node import Node
from chat.domain.log import Recorded
from chat.domain.vocabulary import State
from chat.logic.mediator import Tables, Version, advance, touched

States = dict[str, Version]


class Watcher(Protocol):
    def moves_on(self, key: str, version: Version) -> None:
        """This is how a state stood when the next event of its own stream came."""

    def is_changed(self, key: str, version: Version) -> None:
        """This is how a state stood when an event of another stream changes it."""

    def is_over(self, key: str, began: int, state: State) -> None:
        """No later event changes this message, which began at the position `began`."""

    async def rest(self) -> None:
        """A page of the log is done."""


class Fold:
    def __init__(self, tables: Tables, survey: Survey, watchers: Sequence[Watcher]) -> None:
        self.states: States = {}
        self._tables = tables
        self._survey = survey
        self._watchers = watchers

    def take(self, position: int, record: Recorded) -> None:
        for key in touched(self._tables, record):
            version = self.states.get(key) or self._tables.initial(key)
            if key.startswith(MESSAGE):
                self._take_message(key, position, advance(self._tables, key, version, record))
                continue
            for watcher in self._watchers:
                (watcher.moves_on if key == record.stream else watcher.is_changed)(key, version)
            self.states[key] = advance(self._tables, key, version, record)

    def _take_message(self, key: str, position: int, version: Version) -> None:
        began = self._survey.began(key)
        if self._survey.last[began] == position:
            self.states.pop(key, None)
            for watcher in self._watchers:
                watcher.is_over(key, began, version.state)
        else:
            self.states[key] = version


async def fold_log(node: Node, survey: Survey, watchers: Sequence[Watcher], findings: Findings) -> States:
    """The states that are not messages, as the log leaves them."""
    fold = Fold(node.tables, survey, watchers)
    with Progress("events folded", survey.head) as progress:
        async for rows in pages(node.store, survey.head):
            for row in rows:
                if row.position in survey.unreadable:
                    continue
                try:
                    fold.take(row.position, node.codec.entry(row).record)
                except Exception as error:  # a handler met what no command could have led to
                    findings.add_to_log(row.position, f"its event cannot be folded: {error!r}")
            for watcher in watchers:
                await watcher.rest()
            progress.at(rows[-1].position)
    return fold.states
