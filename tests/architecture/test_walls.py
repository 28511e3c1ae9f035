"""The walls between the layers, where they concern more than imports: what import-linter cannot see.

Domain and logic are pure: no `async`, no clock, no chance, no I/O, and of other people's packages
msgspec alone. Each layer imports only the layers it may know, so concrete stores and brokers are named by
chat.py alone.
No file of the chat is too long to read in one sitting.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 400
COUNTED = {".py", ".js", ".mjs", ".css", ".html"}

MAY_KNOW = {
    "domain": {"domain"},
    "logic": {"domain", "logic"},
    "infra": {"domain", "infra"},
    "application": {"domain", "logic", "application"},
}
PURE = {"domain", "logic"}
FOREIGN = {"msgspec"}
IMPURE = (
    {"sched", "time"}  # the clock
    | {"random", "secrets", "uuid"}  # chance
    | {"asyncio", "concurrent", "contextvars", "multiprocessing", "queue", "signal", "threading", "weakref"}
    | {"fcntl", "glob", "io", "mmap", "os", "pathlib", "pickle", "shutil", "sqlite3", "tempfile"}
    | {"http", "select", "selectors", "smtplib", "socket", "socketserver", "ssl", "urllib.request"}
    | {"builtins", "ctypes", "importlib", "logging", "platform", "resource", "subprocess", "sys", "syslog"}
    | {"warnings", "webbrowser"}
)
ACTS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}
CLOCKS = {"now", "today", "utcnow"}


def faults(path: str, source: str) -> list[str]:
    """What is wrong with this Python file; `path` is relative to the root, as in `chat/logic/rooms.py`."""
    layer = "" if path == "chat/__init__.py" else path.split("/")[1]
    if layer and layer not in MAY_KNOW:
        return [f"{path}: no such layer"]
    known = {f"chat.{other}" for other in MAY_KNOW.get(layer, ())}
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in imported(path, node):
            if name.split(".")[0] == "chat" and ".".join(name.split(".")[:2]) not in known:
                found.append((node, f"imports {name}"))
            if layer in PURE and not pure(name):
                found.append((node, f"imports {name}"))
        if layer in PURE and (act := impurity(node)):
            found.append((node, act))
    return [f"{path}:{getattr(node, 'lineno', 0)}: {what}" for node, what in found]


def imported(path: str, node: ast.AST) -> Iterator[str]:
    """The full names that a statement imports: `from chat import infra` imports `chat.infra`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        here = path.split("/")[: -node.level] if node.level else []
        module = ".".join([*here, *filter(None, [node.module])])
        yield from (f"{module}.{alias.name}" for alias in node.names)


def pure(name: str) -> bool:
    if any(f"{name}.".startswith(f"{module}.") for module in IMPURE):
        return False
    return name.split(".")[0] in {"chat", *FOREIGN, *sys.stdlib_module_names}


def impurity(node: ast.AST) -> str | None:
    match node:
        case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
            return "is async"
        case ast.comprehension(is_async=1):
            return "is async"
        case ast.Call(func=ast.Name(id=name)) if name in ACTS:
            return f"calls {name}"
        case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
            return f"reads the clock: {name}"
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name) if (
            owner in {"date", "datetime"} and name in CLOCKS
        ):
            return f"reads the clock: {owner}.{name}"
    return None


def too_long(path: str, source: str) -> list[str]:
    lines = len(source.splitlines())
    return [f"{path}: {lines} lines, more than {LONGEST}"] if lines > LONGEST else []


def files() -> list[tuple[str, str]]:
    found = sorted(path for path in (ROOT / "chat").rglob("*") if path.suffix in COUNTED)
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in found]


def test_every_file_keeps_to_its_side_of_the_walls() -> None:
    assert [fault for path, source in files() if path.endswith(".py") for fault in faults(path, source)] == []


def test_every_file_can_be_read_in_one_sitting() -> None:
    assert [fault for path, source in files() for fault in too_long(path, source)] == []


def test_the_whole_chat_is_looked_at() -> None:
    seen = {path.split("/")[1] for path, _ in files()}
    assert seen >= {path.name for path in (ROOT / "chat").iterdir() if path.name in MAY_KNOW} >= PURE


@pytest.mark.parametrize(
    ("path", "source", "what"),
    [
        ("chat/domain/rooms.py", "async def f(): ...", "is async"),
        ("chat/logic/rooms.py", "def f(a):\n    return [x async for x in a]", "is async"),
        ("chat/logic/rooms.py", "import time", "imports time"),
        ("chat/logic/rooms.py", "def f():\n    import os.path", "imports os.path"),
        ("chat/logic/rooms.py", "from random import choice", "imports random.choice"),
        ("chat/logic/rooms.py", "from anyio import sleep", "imports anyio.sleep"),
        ("chat/domain/rooms.py", "import structlog", "imports structlog"),
        ("chat/domain/rooms.py", "from datetime import datetime\ndatetime.now()", "reads the clock"),
        ("chat/domain/rooms.py", "import datetime as d\nd.datetime.utcnow()", "reads the clock"),
        ("chat/domain/rooms.py", "from datetime import datetime as d\nd.now()", "reads the clock"),
        ("chat/domain/rooms.py", "from datetime import datetime\nfield(datetime.now)", "reads the clock"),
        ("chat/logic/rooms.py", "open('x')", "calls open"),
        ("chat/logic/rooms.py", "print(1)", "calls print"),
        ("chat/domain/rooms.py", "from chat.logic import rooms", "imports chat.logic.rooms"),
        ("chat/domain/rooms.py", "from ..logic import rooms", "imports chat.logic.rooms"),
        ("chat/logic/rooms.py", "from chat import application", "imports chat.application"),
        ("chat/logic/rooms.py", "import chat", "imports chat"),
        ("chat/infra/stores/sqlite.py", "from chat.logic.rooms import send", "imports chat.logic.rooms.send"),
        ("chat/infra/hub.py", "import chat.application.ports", "imports chat.application.ports"),
        ("chat/application/turn.py", "from chat.infra.stores import sqlite", "imports chat.infra.stores"),
        ("chat/application/turn.py", "from chat import infra", "imports chat.infra"),
        ("chat/application/turn.py", "from .. import infra", "imports chat.infra"),
        ("chat/__init__.py", "from chat.infra import hub", "imports chat.infra.hub"),
        ("chat/utils/things.py", "", "no such layer"),
        ("chat/helpers.py", "", "no such layer"),
    ],
)
def test_a_breach_is_found(path: str, source: str, what: str) -> None:
    assert any(what in fault for fault in faults(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("chat/domain/rooms.py", "from datetime import datetime\nimport msgspec"),
        ("chat/domain/rooms.py", "from chat.domain import errors\nfrom urllib.parse import quote"),
        ("chat/logic/rooms.py", "from chat.domain import rooms\nfrom chat.logic.keys import room_key"),
        ("chat/logic/rooms.py", "def f(context):\n    return context.now"),
        ("chat/infra/hub.py", "import asyncio, time\nfrom chat.domain import rooms\nasync def f(): print(1)"),
        ("chat/application/turn.py", "import anyio\nfrom chat.logic import rooms"),
        ("chat/application/turn.py", "from chat.application import ports"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert faults(path, source) == []


def test_a_long_file_is_found() -> None:
    assert too_long("chat/logic/rooms.py", "x = 1\n" * (LONGEST + 1))
    assert not too_long("chat/logic/rooms.py", "x = 1\n" * LONGEST)
