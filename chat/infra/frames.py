"""Text frames that arrived whole (RFC 6455, 5.2), read in one go.

Nearly all that clients send is one short text frame at a time. The general parser reads a stream piece by piece, which
costs as much as deciding what a frame asks for. Whatever is not a whole, masked, unfragmented text frame is left to it.
"""

from typing import Final

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

FINAL_TEXT: Final = 0x80 | Opcode.TEXT
MASKED: Final = 0x80
TWO_BYTES: Final = 126  # in place of a length: it stands in the two bytes that follow
EIGHT_BYTES: Final = 127  # or in eight


def whole_text(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The payload of the frame at `start`, and where the next one starts; None for anything but a whole text."""
    if len(data) < start + 6 or data[start] != FINAL_TEXT:
        return None
    length, mask = data[start + 1] - MASKED, start + 2
    if length == TWO_BYTES:
        length, mask = int.from_bytes(data[mask : mask + 2]), mask + 2
    elif not 0 <= length < TWO_BYTES:
        return None
    payload = mask + 4
    end = payload + length
    if end > len(data):
        return None
    return apply_mask(data[payload:end], data[mask:payload]), end


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
