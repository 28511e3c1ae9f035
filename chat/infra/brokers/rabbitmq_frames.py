"""What a broker sends, made fit for a library that ends the connection over one header that it cannot decode.

Other programs may put into it text that is not UTF-8, or a time beyond the calendar, and such a letter would come again
with each new connection, for ever. It is handed on with a header that says only that.
"""

import asyncio
from typing import Final

import pamqp.frame
from pamqp.commands import Basic
from pamqp.constants import FRAME_HEADER, FRAME_HEADER_SIZE
from pamqp.header import ContentHeader

UNREADABLE: Final = "unreadable"  # as the type of a message
SIZE: Final = slice(FRAME_HEADER_SIZE + 4, FRAME_HEADER_SIZE + 12)  # of the body, in the frame of a header


class LenientReader:
    """In the place of an `asyncio.StreamReader`, as far as the library uses one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._frame = b""  # what is left of it

    def at_eof(self) -> bool:
        return not self._frame and self._reader.at_eof()

    async def read(self) -> bytes:
        return self._frame + await self._reader.read()

    async def readexactly(self, count: int) -> bytes:
        if not self._frame:
            self._frame = fit(await self._whole())
        part, self._frame = self._frame[:count], self._frame[count:]
        return part

    async def _whole(self) -> bytes:
        start = await self._reader.readexactly(FRAME_HEADER_SIZE)
        if start.startswith(b"AMQP"):
            return start  # a broker of another protocol, which has no more to say
        size = int.from_bytes(start[3:], "big")
        return start + await self._reader.readexactly(size + 1)


def fit(frame: bytes) -> bytes:
    if frame[0] != FRAME_HEADER:
        return frame
    try:
        pamqp.frame.unmarshal(frame)
    except Exception:
        return _says_nothing(frame)
    return frame


def _says_nothing(frame: bytes) -> bytes:
    size = int.from_bytes(frame[SIZE], "big")
    header = ContentHeader(body_size=size, properties=Basic.Properties(message_type=UNREADABLE))
    return pamqp.frame.marshal(header, int.from_bytes(frame[1:3], "big"))
