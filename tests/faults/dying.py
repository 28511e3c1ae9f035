"""chat.py with a store and a hub that end the process at a step: `DIES="after commit 3"` at the third commit, once it
is done. The steps of the hub are telling (of what is in the log now) and flushing (the answers and events go out)."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from runpy import run_path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
STATUS: Final = 86

TELLING: Final = ("before tell", "after tell", "before flush", "after flush")


class Death:
    """Comes when a step is reached so many times."""

    def __init__(self, when: str) -> None:
        self._step, _, number = when.rpartition(" ")
        self._left = int(number)

    def reach(self, step: str) -> None:
        self._left -= step == self._step
        if not self._left:
            os._exit(STATUS)

    async def reach_later(self, step: str) -> None:
        self.reach(step)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from chat.domain.log import Entry
    from chat.infra.hub import Hub
    from tests.faults.failing import Failing

    death = Death(os.environ["DIES"])

    class DyingHub(Hub):
        def tell(self, entries: Sequence[Entry]) -> None:
            death.reach("before tell")
            super().tell(entries)
            death.reach("after tell")

        def flush(self) -> None:
            death.reach("before flush")
            super().flush()
            death.reach("after flush")

    wiring = run_path(str(ROOT / "chat.py"), run_name="wiring")
    names: dict[str, Any] = wiring["main"].__globals__
    store_of = names["store_of"]

    def dying(*args: Any, **options: Any) -> Failing:
        store = Failing(store_of(*args, **options))
        store.step = death.reach_later
        return store

    names["store_of"], names["Hub"] = dying, DyingHub
    status: int = wiring["main"]()
    return status


if __name__ == "__main__":
    sys.exit(main())
