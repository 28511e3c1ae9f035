"""chat.py that counts what it holds: at each SIGUSR1 it writes to the file COUNTS, as JSON, how much there is of all
that comes and goes, after a collection; and what of the chat's own had waited for one.

What is remembered on purpose is made small first, so that it is full soon and adds nothing later: SQLite's pages, and
the cache of states and the counted news, which are emptied before each count. An account counts as offline a second
after its last socket.
"""

import asyncio
import ctypes
import gc
import os
import re
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
CHAT: Final = ("chat.",)
OURS: Final = (
    *CHAT,
    "uvicorn.",
    "starlette.",
    "websockets.",
    "asyncio.",
    "_asyncio.",
    "uvloop.",
    "h11.",
    "httptools.",
)
IDLE: Final = "AnyIO worker thread"  # reads files; there are a few, and an idle one ends when another is asked
PAGES: Final = "cache_size = -1024"  # KiB


class Counted:
    """`held` has what a node is made of, and the server around it."""

    def __init__(self, file: Path) -> None:
        self.held: dict[str, Any] = {}
        self._file = file
        self._collected: Counter[str] = Counter()
        self._numbers = count(1)

    def write(self) -> None:
        counts = {"number": next(self._numbers), **self.counts()}
        beside = self._file.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(counts))
        beside.replace(self._file)

    def counts(self) -> dict[str, Any]:
        cache = self.held["node"].cache
        cached = len(cache)
        bound, cache.bound = cache.bound, 0
        cache.trim()
        cache.bound = bound
        self.held["node"].reading._lasting._kept.clear()
        for buckets in vars(self.held["node"].allowances).values():
            if hasattr(buckets, "forget"):
                buckets.forget("")  # of those who were gone before anybody could see where they were
        self._collect()
        give_back()
        return {
            "memory": resident(),
            "blocks": sys.getallocatedblocks(),
            "cached": cached,
            "tasks": len(asyncio.all_tasks()),
            "threads": sorted(thread.name for thread in threading.enumerate() if thread.name != IDLE),
            "files": sorted(filter(None, map(opened, os.listdir("/proc/self/fd")))),
            "sizes": {path: size for name, value in self.held.items() for path, size in sizes(name, value, set())},
            "objects": kinds(OURS),
            "collected": self._collected,
        }

    def _collect(self) -> None:
        before = kinds(CHAT)
        for _ in range(3):
            gc.collect()
        self._collected += before - kinds(CHAT)


def give_back() -> None:
    """What the allocator keeps for later, and nobody uses, is no leak."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def opened(number: str) -> str:
    """What kind of file it is: a socket's number is another one each time."""
    try:
        return re.sub(r":\[\d+\]", "", os.readlink(f"/proc/self/fd/{number}"))
    except FileNotFoundError:  # the listing's own
        return ""


def kinds(packages: tuple[str, ...]) -> Counter[str]:
    """How many objects there are of each class in these, garbage too."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.get_objects()))
    return Counter(name for name in names if name.startswith(packages))


def sizes(path: str, value: object, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Of every collection that an object of the chat's holds, and the objects that it is made of."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict | list | set | deque) and not isinstance(value, Counter):
        yield path, len(value)
    elif type(value).__module__.startswith("chat.") and not isinstance(value, msgspec.Struct | tuple | ModuleType):
        slots = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
        for name, part in {**slots, **getattr(value, "__dict__", {})}.items():
            yield from sizes(f"{path}.{name}", part, seen)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from chat.infra.stores import sqlite_schema
    from chat.logic import presence

    vars(presence)["GRACE"] = 1.0
    for name in ("WRITER", "READER"):
        pragmas, changed = re.subn(r"cache_size = -\d+", PAGES, getattr(sqlite_schema, name))
        assert changed
        setattr(sqlite_schema, name, pragmas)

    counted = Counted(Path(os.environ["COUNTS"]))
    wiring = run_path(str(ROOT / "chat.py"), run_name="wiring")
    names: dict[str, Any] = wiring["main"].__globals__
    node_of, server = names["node_of"], names["server"]

    def counted_node(*args: Any, **options: Any) -> Any:
        node = counted.held["node"] = node_of(*args, **options)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, counted.write)
        return node

    def counted_server(*args: Any, **options: Any) -> Any:
        web = server(*args, **options)
        counted.held["connections"] = web.server_state.connections
        counted.held["requests"] = web.server_state.tasks
        return web

    names["node_of"], names["server"] = counted_node, counted_server
    status: int = wiring["main"]()
    return status


if __name__ == "__main__":
    sys.exit(main())
