"""Most connections say nothing: what is held for one of them is little, and what they share is nobody's to change."""

import asyncio
import os
import weakref

from websockets.asyncio.client import connect

from chat.infra.hub import Bundle
from tests.application.fakes import until
from tests.infra.edges import anyio_backend as anyio_backend
from tests.infra.edges import edge, lazy, rest


async def test_once_somebody_listens_the_handshake_is_forgotten_and_frames_are_read_as_ever() -> None:
    async with edge(delay=0.05) as place, connect(place.url, additional_headers={"X-Long": "x" * 4_000}) as websocket:
        await until(lambda: place.wires)
        asked, headers = weakref.ref(place.wire.request), place.wire.scope["headers"]
        assert len(list(headers)) > 4
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        assert [asked(), *headers, *place.wire.scope] == [None]
        await (await websocket.ping(b"are you there?"))
        await websocket.close(4000, "enough")
        assert websocket.close_code == 4000
        await until(lambda: place.lost)


async def test_who_reads_slowly_is_waited_for_and_nobody_else() -> None:
    async with edge() as place, connect(place.url) as websocket:
        await until(lambda: place.wires)
        quick = place.wire
        peer = await lazy(place)
        await until(lambda: len(place.wires) == 2)
        slow = place.wire
        slow.write([Bundle([os.urandom(800_000)])])
        waiting = asyncio.create_task(slow.drained())
        await asyncio.wait_for(quick.drained(), 1)
        assert not waiting.done()
        quick.write([Bundle([b"x"])])
        assert await websocket.recv() == "x"
        reading = asyncio.create_task(rest(peer))
        await waiting
        await slow.drained()  # and it is as if it had never been behind
        slow.transport.abort()
        await reading
        peer.close()
