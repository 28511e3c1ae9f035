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
