"""chat.py with faults that quote what somebody sent: a rule, a question, the hashing, the store, a frame, a task and
the application itself break on it. With `LEAKS` in the environment it also says so in its log, as no chat may.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def main() -> int:
    sys.path.insert(0, str(ROOT))
    import structlog

    from chat.application import connection
    from chat.domain.messages import MessageEdited, SearchMessages, SendMessage

    wiring = run_path(str(ROOT / "chat.py"), run_name="wiring")
    names: dict[str, Any] = wiring["main"].__globals__
    node_of, application, store_of = names["node_of"], names["application"], names["store_of"]
    log = structlog.get_logger("leaking")

    def send(room: Any, command: Any, context: Any) -> Any:
        if "LEAKS" in os.environ:
            log.info("sent", text=command.text)
        if "the rule" in command.text:
            raise KeyError(command.text)
        return wiring["COMMANDS"][SendMessage][1](room, command, context)

    def edited(message: Any, event: Any, context: Any) -> Any:
        raise ValueError(f"{message!r} {event!r}")

    def search(_: Any, query: Any, __: Any) -> Any:
        return {}[query.text]

    async def verify(hashed: str, password: str) -> bool:
        raise LookupError(hashed, password)

    def broken_node(settings: Any, store: Any) -> Any:
        tables = wiring["TABLES"]
        room, _ = tables.commands[SendMessage]
        actor, _ = tables.queries[SearchMessages]
        [(message, _)] = tables.events[MessageEdited]
        node = node_of(
            settings,
            store,
            tables._replace(
                commands={**tables.commands, SendMessage: (room, send)},
                queries={**tables.queries, SearchMessages: (actor, search)},
                events={**tables.events, MessageEdited: ((message, edited),)},
            ),
        )
        node.passwords.verify = verify
        return node

    def broken_store(*args: Any) -> Any:
        store = store_of(*args)
        read_about = store.read_about

        async def broken_read_about(names: Any) -> Any:
            rows = await read_about(names)
            if any(b"the store" in row.event for row in rows):
                raise ValueError(rows)
            return rows

        store.read_about = broken_read_about
        return store

    submit: Callable[[Any, Any], None] = connection.Connection._submit

    def broken_submit(self: Any, command: Any) -> None:
        if "the frame" in getattr(command, "text", ""):
            raise KeyError(command.text)
        submit(self, command)

    connection.Connection._submit = broken_submit  # type: ignore[method-assign]

    def broken_application(*args: Any) -> Any:
        app = application(*args)

        async def broken(scope: Any, receive: Any, send: Any) -> None:
            dropped = asyncio.ensure_future(fail(scope["query_string"].decode()))
            if scope["path"] == "/broken":
                await dropped
            await app(scope, receive, send)

        async def fail(words: str) -> None:
            if words:
                raise LookupError(words)

        return broken

    names["node_of"], names["application"], names["store_of"] = broken_node, broken_application, broken_store
    status: int = wiring["main"]()
    return status


if __name__ == "__main__":
    sys.exit(main())
