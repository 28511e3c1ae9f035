"""HTTP at the edge: a request has to arrive in time and in measure, and its answer has to be read.

A connection is always on its way to somewhere. While nothing is asked of it, the next head has HEADERS_WITHIN seconds,
however it trickles; a body is waited for by whoever wants it; an answer that nobody reads is kept for READ_WITHIN
seconds. Stock uvicorn waits for ever in each of these places, writes a line to the log for each request that it cannot
read, and takes the fields behind a chunked body (RFC 9112, 7.1.2) for headers of the request.
"""

import asyncio
from typing import Final

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chat.domain.errors import Refused
from chat.infra import refusals
from chat.infra.admission import ADMITTED, CROWDED, FULL, Entry
from chat.infra.edge import CLOSED_WITHIN, EdgeConfig, WebSocketEdge

HEADERS_WITHIN: Final = 10.0  # seconds to send a request's head
READ_WITHIN: Final = 60.0  # seconds to read an answer, or the part of it that fills the buffer
HEAD: Final = 64 * 1024  # bytes of a request's head, beside those that the read brings in which it ends
HEADERS: Final = 128  # of one request; a websocket handshake may not have more either
PIPELINED: Final = 16  # requests that wait for the answer to another one; each costs some kilobytes

REFUSALS: Final = {
    FULL: Refused("busy", "Too many connections: come back in a moment.", retry_after=10.0),
    CROWDED: Refused("too_fast", "Too many connections from this address: come back in a moment.", retry_after=10.0),
}
UNREADABLE: Final = Refused("malformed", "This is not readable HTTP.")
OVERSIZED: Final = Refused("too_large", f"A head has at most {HEADERS} headers in {HEAD} bytes.")


class Oversized(Exception):
    """Raised through the parser, which then stops."""


class Cork:
    """A transport that keeps the head of an answer until its body begins: each write is a call of the kernel, and wakes
    the reader.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.is_in = False
        self.is_closing = transport.is_closing
        self._transport = transport
        self._kept = b""

    def write(self, data: bytes) -> None:
        if self.is_in:
            self._kept += data
        else:
            kept, self._kept = self._kept, b""
            self._transport.write(kept + data)

    def pull(self) -> None:
        """Also of an answer without a body."""
        self.is_in = False
        if self._kept:
            self.write(b"")

    def close(self) -> None:
        if not self.is_closing():
            self.pull()
        self._transport.close()


def in_order(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """An answer goes out as a whole where it is one. Nothing is written to a connection that is gone: until the last
    request of it is told, uvloop raises, and of requests behind one another the last alone is told.
    """
    cork = cycle.transport = Cork(cycle.transport)  # type: ignore[assignment]

    async def wrapped(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def sending(message: ASGISendEvent) -> None:
            cycle.disconnected = cycle.disconnected or cork.is_closing()
            cork.is_in = message["type"] == "http.response.start"
            try:
                await send(message)
                if not cork.is_in:
                    cork.pull()
            except RuntimeError:
                if not cork.is_closing():
                    raise
                cycle.disconnected = True

        await app(scope, receive, sending)

    return wrapped


class HttpEdge(HttpToolsProtocol):
    config: EdgeConfig
    _entry: Entry
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _headed = False  # the head of the request under way is whole
    _apart = 0  # bytes since the last one of a body, or the end of a head: parts of heads, chunk sizes, trailers
    _deaf = False  # refused: what comes is dropped

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._entry = self.config.admission.enter(self.client[0] if self.client else None)
        self._expect_head()
        if self._entry.verdict != ADMITTED:
            self._turn_away(self._entry.verdict)

    def _turn_away(self, verdict: str) -> None:
        """Without a word in the log: there would be one for each connection of a flood."""
        if verdict in REFUSALS:
            self.config.admission.dropped[verdict] += 1
            self.app = refusals.refusing(self.app, REFUSALS[verdict])
        else:
            self._drop(verdict)

    def connection_lost(self, exc: Exception | None) -> None:
        self.config.admission.leave(self._entry)
        self._unset_keepalive_if_required()  # uvicorn leaves it armed when the connection was reset
        self._disarm()
        self._be_read()
        super().connection_lost(exc)
        if self.pipeline:  # whom nobody will answer: they and this protocol hold each other
            self.pipeline.clear()
            self.cycle = None  # type: ignore[assignment]

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if not self._under_way:
            self._expect_head()
        self._apart += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            self._reject(error)
        else:
            if self._apart > HEAD:
                self._refuse("large_head", OVERSIZED, 431)

    @property
    def _current(self) -> RequestResponseCycle | None:
        """The last request whose head was whole; uvicorn leaves out that there may be none yet."""
        return self.cycle

    @property
    def _under_way(self) -> bool:
        current = self._current
        return current is not None and not current.response_complete

    def _expect_head(self) -> None:
        """Once: a byte now and then does not put the deadline off. It also holds for the rest of a body whose request
        was answered already.
        """
        if self._deadline is None:
            self._arm(HEADERS_WITHIN, "slow_head")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise Oversized
        self._headed = False
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return  # a trailer; by now the headers may have been acted on
        if len(self.headers) >= HEADERS:
            raise Oversized
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._disarm()
        self._headed = True
        self._apart = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._apart = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._apart = 0
        super().on_message_complete()

    def _reject(self, error: httptools.HttpParserError) -> None:
        if not isinstance(error.__context__, Oversized):
            self._refuse("bad_request", UNREADABLE)
        elif len(self.pipeline) >= PIPELINED:
            self._drop("pipeline")
        else:
            self._refuse("large_head", OVERSIZED, 431)

    def _refuse(self, reason: str, refusal: Refused, status: int | None = None) -> None:
        """What still comes in is read and dropped for a while, as a connection that is closed over unread bytes is
        reset, and takes the answer with it. Into another answer nothing can be written.
        """
        current = self._current
        if self.pipeline or (current and self._under_way and current.response_started):
            self._drop(reason)
            return
        self.config.admission.dropped[reason] += 1
        if current:
            current.disconnected = True  # for the application: its answer would come too late
            current.message_event.set()
        self._deaf = True
        self.flow.resume_reading()
        self.transport.write(refusals.written(refusal, status))
        self.transport.write_eof()
        self._arm(CLOSED_WITHIN, "refusal_unread")

    # ---- what goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.config.admission.leave_unread(self._entry):
            self._drop("unread_many")
            return
        self._unread = self.loop.call_later(READ_WITHIN, self._drop, "unread")

    def resume_writing(self) -> None:
        self._be_read()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._arm(READ_WITHIN, "unread")

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._arm(READ_WITHIN, "unread")  # `close` waits for what is unread

    def eof_received(self) -> None:
        self._arm(READ_WITHIN, "unread")  # so does the transport, which closes now

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, in_order(cycle, app))

    # ---- websockets

    def _should_upgrade(self) -> bool:
        """Whoever is refused is refused by an answer of HTTP."""
        return self._entry.verdict == ADMITTED and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """The connection changes hands, and its entry with it."""
        if self._under_way:
            self._drop("bad_request")  # an answer would be written among the frames
            return
        self._disarm()
        self._be_read()
        super().handle_websocket_upgrade()
        edge = self.transport.get_protocol()
        assert isinstance(edge, WebSocketEdge)
        edge.take_over(self._entry)
        self.parser = None  # type: ignore[assignment]  # it holds this protocol, and this is a cycle

    # ---- deadlines

    def _arm(self, seconds: float, reason: str) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._drop, reason)

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _be_read(self) -> None:
        if self._unread:
            self._unread.cancel()
            self._unread = None
            self.config.admission.was_read(self._entry)

    def _drop(self, reason: str) -> None:
        self._disarm()
        self._be_read()  # or both deadlines would count, when they come together
        reason = "silent" if reason == "slow_head" and not self._apart else reason
        self.config.admission.dropped[reason] += 1
        self.transport.abort()
