"""The edge: uvicorn's protocols, with one way to write to a socket, and bounds where the stock ones have none.

The websocket protocol offers itself to the application in the scope's extensions as `chat.writer`: ready frames go
straight to the transport, and frames that come in go straight to a callback, without a task or a queue between. Whoever
stops reading is freed: a close that is not answered, or a keep-alive ping, ends in `abort`, because `close` would wait
for a buffer that never drains.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from chat.infra.frames import whole_text
from chat.infra.hub import Bundle

WRITER: Final = "chat.writer"
HEADERS_WITHIN: Final = 10.0  # seconds to send a request's head
CLOSED_WITHIN: Final = 5.0  # seconds to answer a close
HEAD: Final = 64 * 1024  # bytes of a request's head, and as much again that arrives at once
PONGS_UNSENT: Final = 256 * 1024  # bytes unsent beyond which a ping is abuse
FRAGMENTS: Final = 64  # of one message


class WebSocketEdge(WebSocketsSansIOProtocol):
    _on_frame: Callable[[bytes], None] | None = None
    _on_lost: Callable[[], None] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][WRITER] = self  # type: ignore[assignment]

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Hand over every text frame from now on, and tell when the connection is gone."""
        self._on_frame, self._on_lost = on_frame, on_lost
        while not self.queue.empty():
            self._hand_over(self.queue.get_nowait())
        self.resume()
        if self.disconnected:
            on_lost()

    def _hand_over(self, message: Any) -> None:
        if self._on_frame and message["type"] == "websocket.receive":
            text = message.get("text")
            self._on_frame(message["bytes"] if text is None else text.encode())

    def pause(self) -> None:
        """Do not read from the peer until `resume`."""
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def write(self, bundles: Sequence[Bundle]) -> None:
        if self.close_sent or self.transport.is_closing() or not self.handshake_complete:
            return
        self.transport.writelines([bundle.framed for bundle in bundles])

    def unsent(self) -> int:
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Wait until what was written is mostly gone."""
        await self.writable.wait()

    def hang_up(self, code: int, reason: str) -> None:
        """Say goodbye, and drop the connection if the peer does not."""
        over = self.close_sent or self.conn.state is not State.OPEN  # one of the two has said it
        if over or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.resume()
        self.close_timer = self.loop.call_later(CLOSED_WITHIN, self.transport.abort)

    # What uvicorn calls.

    def data_received(self, data: bytes) -> None:
        rest = self._hand_over_texts(data)
        if rest < len(data):
            super().data_received(data[rest:])

    def _hand_over_texts(self, data: bytes) -> int:
        """Texts that arrived whole go straight to the callback. Where the rest starts, which the parser has to read."""
        start = 0
        while self._on_frame and not (self.close_sent or self.frames or self.conn.reader.buffer):
            found = whole_text(data, start)
            if found is None:
                break
            text, start = found
            self._on_frame(text)
        return start

    def send_receive_event_to_app(self) -> None:
        if self._on_frame is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if not self.close_sent:
            self._on_frame(data)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS:
            self.hang_up(1008, "too many fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > PONGS_UNSENT:
            self.transport.abort()
        if not self.transport.is_closing():
            super().handle_ping()

    def handle_parser_exception(self) -> None:
        """Frames that break the protocol. What still comes in is read and dropped: a connection that is closed over
        unread bytes is reset, and takes the close code with it.
        """
        if self.close_sent:
            return
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = True
        self.resume()
        self.close_timer = self.loop.call_later(CLOSED_WITHIN, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._on_lost:
            self._on_lost()
        self._on_frame = self._on_lost = None  # they hold the connection's state, and this is a cycle


class HttpEdge(HttpToolsProtocol):
    """A request's head has to arrive in time, and in measure; stock uvicorn would wait for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0

    def data_received(self, data: bytes) -> None:
        if self._deadline and self._head > HEAD:
            self.transport.abort()
            return
        super().data_received(data)
        self._head += len(data)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arm()

    def on_headers_complete(self) -> None:
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._disarm()
        self._head = 0
        self._deadline = self.loop.call_later(HEADERS_WITHIN, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
