"""The edge: uvicorn's protocols, with one way to write to a socket, and bounds where the stock ones have none.

The websocket protocol offers itself to the application in the scope's extensions as `chat.writer`: ready frames go
straight to the transport, and frames that come in go straight to a callback, without a task or a queue between. While
it is paused, or nobody listens yet, nothing is read from the peer, and what had arrived already (one buffer at most)
is kept as it came: bytes are taken frame by frame, so that none is read before it is wanted. Whoever stops reading is
freed: a close that is not answered, or a keep-alive ping, ends in `abort`, because `close` would wait for a buffer that
never drains.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from chat.infra.frames import MASKED, TWO_BYTES, whole_text
from chat.infra.hub import Bundle

WRITER: Final = "chat.writer"
HEADERS_WITHIN: Final = 10.0  # seconds to send a request's head
CLOSED_WITHIN: Final = 5.0  # seconds to answer a close
HEAD: Final = 64 * 1024  # bytes of a request's head, and as much again that arrives at once
PONGS_UNSENT: Final = 256 * 1024  # bytes unsent beyond which a ping is abuse
FRAGMENTS: Final = 64  # of one message
ASIDE: Final = 200  # pings, pongs and continuations in a second
FLOOD: Final = 1008
EIGHT_BYTES: Final = 127  # in place of a length, as TWO_BYTES


class WebSocketEdge(WebSocketsSansIOProtocol):
    _on_frame: Callable[[bytes], None] | None = None
    _on_lost: Callable[[], None] | None = None
    _kept = b""  # what arrived and is not read yet
    _paused = False  # wanted; uvicorn's own `read_paused` is not used
    _stopped = False  # done: the transport does not read
    _second = 0.0  # since when frames aside are counted
    _aside = 0
    _gone: "asyncio.Future[None] | None" = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][WRITER] = self  # type: ignore[assignment]

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Hand over every text frame from now on, and tell when the connection is gone."""
        self._on_frame, self._on_lost = on_frame, on_lost
        if self._kept:
            self.resume()
        if self.disconnected:
            on_lost()

    def pause(self) -> None:
        """Hand over nothing more until `resume`."""
        if self._paused or self.close_sent or self.transport.is_closing():
            return
        self._paused = True
        if not self._stopped:
            self._stopped = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Go on soon, with what is kept first. Not at once: whoever says so may be in the middle of a frame."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._paused or self.transport.is_closing():
            return
        try:
            self._read()
        except Exception:
            self.transport.abort()  # as when the transport hands over what breaks
            raise
        self._start()

    def _start(self) -> None:
        if self._stopped and not self._paused and not self.transport.is_closing():
            self._stopped = False
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

    def gone(self) -> "asyncio.Future[None]":
        """Done when the connection is."""
        if self._gone is None:
            self._gone = self.loop.create_future()
            if self.disconnected:
                self._gone.set_result(None)
        return self._gone

    # What uvicorn calls.

    def data_received(self, data: bytes) -> None:
        self._kept = self._kept + data if self._kept else data
        if not self._paused:
            self._read()

    def _read(self) -> None:
        """What is kept, up to a frame that is not whole, or that nobody wants yet."""
        data, self._kept = self._kept, b""
        start, end = -1, 0
        while start < end < len(data) and not self._paused:
            start, end = end, self._read_frame(data, end)
        self._kept = data[end:]

    def _read_frame(self, data: bytes, start: int) -> int:
        """Where the next one starts; `start` when this one has to wait. Texts go straight to the callback, all else to
        the parser, which stands between two frames as long as the connection is open.
        """
        if self.close_sent or not self.handshake_initiated:
            super().data_received(data[start:])
            return len(data)
        if self._on_frame is None:
            self.pause()
            return start
        if not self.frames and (found := whole_text(data, start)):
            text, end = found
            self._on_frame(text)
            return end
        if end := end_of_frame(data, start, self.config.ws_max_size):
            super().data_received(data[start:end])
        return end or start

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self._on_frame and not self.close_sent:
            self._on_frame(data)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS:
            self._break_off("too many fragments")
        elif not self.close_sent and not self._is_flooded():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > PONGS_UNSENT:
            self.transport.abort()
        if not self.transport.is_closing() and not self._is_flooded():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if not self._is_flooded():
            super().handle_pong(event)

    def _is_flooded(self) -> bool:
        """With one more frame that asks for nothing. Who sends too many of them is sent away."""
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._aside = now, 0
        self._aside += 1
        if self._aside > ASIDE:
            self._break_off("too many pings, pongs or fragments")
        return self._aside > ASIDE

    def _break_off(self, reason: str) -> None:
        """For a flood: nothing of it is parsed any more."""
        if not self.close_sent:
            self.conn.fail(FLOOD, reason)
            self.handle_parser_exception()

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
        if self._gone:
            self._gone.set_result(None)
        self._on_frame = self._on_lost = None  # they hold the connection's state, and this is a cycle
        self._kept = b""


def end_of_frame(data: bytes, start: int, most: int) -> int:
    """Where the frame at `start` ends; 0 when it has not arrived. One that the parser rejects by its head (not masked,
    or of more than `most` bytes) is not waited for: it ends with the data.
    """
    if len(data) < start + 2:
        return 0
    length, payload = data[start + 1] - MASKED, start + 2
    if length < 0:
        return len(data)
    if length >= TWO_BYTES:
        head, payload = payload, payload + (8 if length == EIGHT_BYTES else 2)
        if len(data) < payload:
            return 0
        length = int.from_bytes(data[head:payload])
    end = payload + 4 + length
    if length > most:
        return len(data)
    return end if end <= len(data) else 0


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
