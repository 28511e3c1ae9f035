"""The broker of a node that is alone: there is nobody to tell."""

from collections.abc import Sequence

from chat.domain.log import Entry


class LocalBroker:
    def ring(self, entries: Sequence[Entry]) -> None:
        """Nobody else reads the log."""
