"""chat.py on a store that ends the process at a step: `DIES="after commit 3"` at the third commit, once it is done."""

import os
import sys
from pathlib import Path
from runpy import run_path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
STATUS: Final = 86


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tests.faults.failing import Failing

    death, _, number = os.environ["DIES"].rpartition(" ")
    left = int(number)

    async def die(step: str) -> None:
        nonlocal left
        left -= step == death
        if not left:
            os._exit(STATUS)

    wiring = run_path(str(ROOT / "chat.py"), run_name="wiring")
    names: dict[str, Any] = wiring["main"].__globals__
    store_of = names["store_of"]

    def dying(*args: Any, **options: Any) -> Failing:
        store = Failing(store_of(*args, **options))
        store.step = die
        return store

    names["store_of"] = dying
    status: int = wiring["main"]()
    return status


if __name__ == "__main__":
    sys.exit(main())
