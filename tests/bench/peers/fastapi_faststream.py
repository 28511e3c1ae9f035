"""FastAPI hears a message, FastStream publishes it to RabbitMQ, and a subscriber of FastStream's tells the sockets.
Nothing is kept, nobody checked.

AMQP=amqp://… uvicorn fastapi_faststream:app --port PORT
"""
# mypy: ignore-errors
# What it imports is a dependency of the benchmark's, not of the project's.

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from pydantic import BaseModel


class Said(BaseModel):
    type: str
    text: str = ""


class Message(BaseModel):
    text: str


broker = RabbitBroker(os.environ["AMQP"], logger=None)
everybody = RabbitExchange("chat", type=ExchangeType.FANOUT)
sockets: set[WebSocket] = set()


@broker.subscriber(RabbitQueue("", exclusive=True, auto_delete=True), everybody)
async def tell_all(message: Message) -> None:
    for socket in list(sockets):
        await socket.send_json({"type": "message", "text": message.text})


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    await broker.start()
    yield
    await broker.stop()


app = FastAPI(lifespan=connected)


@app.websocket("/ws")
async def talk(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        while True:
            said = Said.model_validate(await socket.receive_json())
            if said.type == "send":
                await broker.publish(Message(text=said.text), exchange=everybody)
                await socket.send_json({"type": "ack"})
    except WebSocketDisconnect:
        pass
    finally:
        sockets.discard(socket)
