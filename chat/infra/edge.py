"""Websockets at the edge: uvicorn's protocol, with one way to write to a socket, and bounds where it has none.

It offers itself to the application in the scope's extensions as `chat.writer`: ready frames go straight to the
transport, and frames that come in go straight to a callback, without a task or a queue between. While it is paused, or
nobody listens yet, nothing is read from the peer, and what had arrived already (one buffer at most) is kept as it came:
bytes are taken frame by frame, so that none is read before it is wanted, and so few in a round that nobody waits long
for a flood of others. Whoever stops reading is freed: a close that is not answered, or a keep-alive ping, ends in
`abort`, because `close` would wait for a buffer that never drains.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from chat.domain.errors import Refused
from chat.infra import refusals
from chat.infra.admission import Admission, Entry
from chat.infra.frames import end_of_frame, whole_text
from chat.infra.hub import Bundle

WRITER: Final = "chat.writer"
CLOSED_WITHIN: Final = 5.0  # seconds to answer a close
ROUND: Final = 64  # frames that are read before others have their turn
PONGS_UNSENT: Final = 256 * 1024  # bytes unsent beyond which a ping is abuse
FRAGMENTS: Final = 64  # of one message
ASIDE: Final = 200  # pings, pongs and continuations in a second
OPCODE: Final = 0x0F  # of a frame's first byte
FLOOD: Final = 1008
TOO_LARGE: Final = 1009

NO_HANDSHAKE: Final = Refused("malformed", "This is not a handshake of a websocket.")

log = structlog.get_logger(__name__)


class EdgeConfig(uvicorn.Config):
    admission: Admission


class Unheard(asyncio.Queue[Any]):
    """What uvicorn tells an application that does not ask for it."""

    def put_nowait(self, item: Any) -> None:
        pass


# Thousands of connections are open, and say nothing: what would be the same for each of them is there once. A queue is
# four deques, and an event one, of 760 bytes each.
UNHEARD: Final = Unheard()
WRITABLE: Final = asyncio.Event()
WRITABLE.set()


def _forget_frames(error: BaseException | None) -> None:
    """What is wrong with a handshake is kept, and holds the frames that hold it."""
    while error:
        error.__traceback__ = None
        error = error.__context__


class WebSocketEdge(WebSocketsSansIOProtocol):
    config: EdgeConfig
    _on_frame: Callable[[bytes], None] | None = None
    _on_lost: Callable[[], None] | None = None
    _kept = b""  # what arrived and is not read yet
    _paused = False  # wanted; uvicorn's own `read_paused` is not used
    _stopped = False  # done: the transport does not read
    _deaf = False  # what still comes is read and dropped
    _second = 0.0  # since when frames aside are counted
    _aside = 0
    _gone: "asyncio.Future[None] | None" = None
    _entry: Entry | None = None

    def take_over(self, entry: Entry) -> None:
        """The connection that HTTP had: it is counted to its end."""
        self._entry = entry

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.conn.handshake_exc:
            _forget_frames(self.conn.handshake_exc)
        if not self.close_sent:
            self.scope["extensions"][WRITER] = self  # type: ignore[assignment]
            self.conn.parser = Protocol.parse(self.conn)  # of frames; the one that has read the handshake keeps it
            next(self.conn.parser)

    def listen(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Hand over every text frame from now on, and tell when the connection is gone. When it is gone already,
        nothing is held that nobody would let go of.
        """
        if self.disconnected:
            on_lost()
            return
        self._on_frame, self._on_lost = on_frame, on_lost
        self._forget_handshake()
        if self._kept:
            self.resume()

    def _forget_handshake(self) -> None:
        """A browser's headers are kilobytes, and whoever listens has read what it wants to know of them."""
        self.request = self.response = None  # type: ignore[assignment]
        self._forget_scope()
        self.queue = UNHEARD

    def _forget_scope(self) -> None:
        """Emptied where it stands: the application holds it, and the list of headers, as long as it runs."""
        headers: Any = self.scope.get("headers", [])
        headers.clear()
        self.scope.clear()  # type: ignore[attr-defined]

    def pause(self) -> None:
        """Hand over nothing more until `resume`."""
        if not self._paused and not self.close_sent and not self.transport.is_closing():
            self._stop()

    def _stop(self) -> None:
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

    def write(self, bundles: Sequence[Bundle]) -> int:
        transport = self.transport
        if self.close_sent or transport.is_closing() or not self.handshake_complete:
            return 0
        transport.writelines([bundle.framed for bundle in bundles])
        return transport.get_write_buffer_size()

    def unsent(self) -> int:
        return 0 if self.disconnected else self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.writable = WRITABLE

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        self.writable.set()
        self.writable = WRITABLE

    async def drained(self) -> None:
        """Wait until what was written is mostly gone."""
        await self.writable.wait()

    def hang_up(self, code: int, reason: str) -> None:
        """Say goodbye, and drop the connection if the peer does not."""
        over = self.close_sent or self.conn.state is not State.OPEN  # one of the two has said it
        if over or self.transport.is_closing():
            return
        if code == FLOOD:
            self._break_off(reason)
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.resume()
        self._drop_soon("close_unanswered")

    def gone(self) -> "asyncio.Future[None]":
        """Done when the connection is."""
        if self._gone is None:
            self._gone = self.loop.create_future()
            if self.disconnected:
                self._gone.set_result(None)
        return self._gone

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._kept = self._kept + data if self._kept else data
        if not self._paused:
            self._read()

    def _read(self) -> None:
        """What is kept, up to a frame that is not whole, or that nobody wants yet; and no more than a round's."""
        data, self._kept = self._kept, b""
        start, end, left = -1, 0, ROUND
        while start < end < len(data) and left and not self._paused and not self._deaf:
            start, end, left = end, self._read_frame(data, end), left - 1
        self._kept = b"" if self._deaf else data[end:]
        if self._kept and start < end and not self._paused and not self.transport.is_closing():
            self._stop()
            self.loop.call_soon(self.resume)

    def _read_frame(self, data: bytes, start: int) -> int:
        """Where the next one starts; `start` when this one has to wait. Texts go straight to the callback, all else to
        the parser, which stands between two frames as long as the connection is open.
        """
        if self.close_sent:
            return self._read_goodbye(data, start)
        if not self.handshake_initiated:
            return self._read_handshake(data)
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

    def _read_handshake(self, data: bytes) -> int:
        """A head that uvicorn has written anew, whole. What the parser rejects it would leave open."""
        super().data_received(data)
        if not self.handshake_initiated:
            self.config.admission.dropped["bad_handshake"] += 1
            self.handshake_complete = self.close_sent = True
            self.transport.write(refusals.written(NO_HANDSHAKE))
            self._turn_deaf()
        return len(data)

    def _read_goodbye(self, data: bytes, start: int) -> int:
        """Said ours, nothing but the peer's is of interest; it is looked for behind a few other frames."""
        end = len(data) if self._deaf else end_of_frame(data, start, self.config.ws_max_size)
        if end and data[start] & OPCODE == Opcode.CLOSE:
            super().data_received(data[start:end])
        elif end and self._is_flooded():
            self._turn_deaf()
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
            self._drop("ping_flood")
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

    # ---- the end

    def handle_parser_exception(self) -> None:
        """Frames that break the protocol, or flood."""
        if self.close_sent:
            return
        self.stop_keepalive()
        code = self.conn.close_sent.code if self.conn.close_sent else None
        self._tell({FLOOD: "flood", TOO_LARGE: "too_large"}.get(code or 0, "protocol_error"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._turn_deaf()

    def _turn_deaf(self) -> None:
        """What still comes in is read and dropped for a while: a connection that is closed over unread bytes is reset,
        and takes the close code with it.
        """
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self.transport.write_eof()
        self.resume()
        self._drop_soon("close_unanswered")

    def handle_close(self, event: Frame) -> None:
        """Nothing counts after it."""
        super().handle_close(event)
        self._deaf = True
        self._drop_soon("goodbye_unread")  # the transport's `close` waits for what is unread

    def eof_received(self) -> None:
        self._drop_soon("goodbye_unread")

    def keepalive_timeout(self) -> None:
        """Of a peer that reads, and is not read from, the answer may stand behind what nobody wants yet."""
        if self._stopped and self.writable.is_set():
            self.pong_timer = self.pending_ping_payload = None  # or a late answer to this one would start a second row
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._drop("keepalive_timeout")

    def _drop_soon(self, reason: str) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSED_WITHIN, self._drop, reason)

    def _drop(self, reason: str) -> None:
        self._tell(reason)
        self._deaf = True
        self.transport.abort()

    def _tell(self, reason: str) -> None:
        """Strangers leave no line in the log: there would be one for each connection of a flood."""
        self.config.admission.dropped[reason] += 1
        if self._on_frame:
            log.info("websocket dropped", reason=reason, peer=self.client and self.client[0])

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._entry:
            self.config.admission.leave(self._entry)
        if self._on_lost:
            self._on_lost()
        if self._gone:
            self._gone.set_result(None)
        self._kept = b""
        # What follows and this protocol hold each other, and would be kept until a full collection comes along.
        self._on_frame = self._on_lost = None
        self.conn.parser.close()
        self.conn.parser_exc = None

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._forget_scope()  # so does what stands in there
