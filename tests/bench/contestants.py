"""Who is measured. To add one takes a function that serves while its `with` lasts, and a row."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, NamedTuple

from tests.bench import others, project
from tests.bench.ground import Ground, Running, Seed


class Contestant(NamedTuple):
    purpose: str
    dialect: str  # that it speaks over the websocket
    running: Callable[[Ground, Seed], AbstractContextManager[Running]]


PROJECT: Final = {
    "memory": Contestant("this chat, `memory:`", "chat", project.on_memory),
    "sqlite": Contestant("this chat, SQLite", "chat", project.on_sqlite),
    "postgres": Contestant("this chat, PostgreSQL and RabbitMQ", "chat", partial(project.on_postgres, nodes=1)),
    "two-nodes": Contestant("this chat, the same with two nodes", "chat", partial(project.on_postgres, nodes=2)),
}
FLOOR: Final = {"floor": Contestant("the floor: a broadcaster in C", "plain", others.floor)}
OTHERS: Final = {
    "starlette": Contestant("Starlette, a loop over sockets", "plain", others.starlette_loop),
    "faststream": Contestant("FastAPI, FastStream and RabbitMQ", "plain", others.fastapi_faststream),
    "socketio": Contestant("Socket.IO on Node", "socketio", others.socketio),
}
CONTESTANTS: Final = FLOOR | PROJECT | OTHERS
