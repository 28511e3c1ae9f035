"""What a tutorial writes: a set of sockets, and `send_json` to one after the other. Nothing is kept, nobody checked.

uvicorn starlette_loop:app --port PORT
"""

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

sockets: set[WebSocket] = set()


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        while True:
            frame = await socket.receive_json()
            if frame["type"] == "send":
                await tell_all(frame["text"])
                await socket.send_json({"type": "ack"})
    except WebSocketDisconnect:
        pass
    finally:
        sockets.discard(socket)


async def tell_all(text: str) -> None:
    for socket in list(sockets):
        await socket.send_json({"type": "message", "text": text})


app = Starlette(routes=[WebSocketRoute("/ws", talk)])
