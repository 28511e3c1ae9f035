"""What a check has found wrong: a line for each, kept in bounds."""

import sys
from typing import Final

SHOWN: Final = 20
KEPT: Final = 10_000


class Findings:
    """`of_file` counts those of the file as such, and `of_log` those of the log, which nothing can be folded anew from.
    Of the latter, `newer` are no damage: another version wrote them.
    """

    def __init__(self) -> None:
        self.of_file = 0
        self.of_log = 0
        self.newer = 0
        self._kept: list[tuple[str, str]] = []
        self._others = 0
        self._forgiven: set[str] = set()

    def add(self, key: str, sentence: str) -> None:
        """About the state `key`."""
        if key in self._forgiven:
            return
        if len(self._kept) < KEPT:
            self._kept.append((key, f"{key}: {sentence}"))
        else:
            self._others += 1

    def add_to_file(self, table: str, sentence: str) -> None:
        self.of_file += 1
        self.add(f"table {table}", sentence)

    def add_to_log(self, position: int, sentence: str) -> None:
        self.of_log += 1
        self.add(f"position {position} of the log", sentence)

    def add_to_answers(self, actor: str, id: str, sentence: str) -> None:
        """They are no fold either."""
        self.of_log += 1
        self.add(f"the answer to {actor}'s command {id}", sentence)

    def add_newer(self, position: int, kind: str) -> None:
        self.newer += 1
        self.add_to_log(position, f"its event is a {kind}, which this version does not know")

    def forgive(self, keys: set[str]) -> None:
        """These changed while the log was folded: what is stored of them may be newer than the fold."""
        self._forgiven |= keys
        self._kept = [(key, line) for key, line in self._kept if key not in keys]

    def __len__(self) -> int:
        return len(self._kept) + self._others

    def show(self) -> None:
        for _, line in self._kept[:SHOWN]:
            print(line)
        if len(self) > SHOWN:
            print(f"… and {len(self) - SHOWN:,} more")


def complain(sentence: str) -> None:
    print(f"chat: {sentence}", file=sys.stderr)
