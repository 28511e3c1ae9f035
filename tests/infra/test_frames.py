"""What is read in one go is what the general parser would have read; the rest is left to it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from chat.infra.frames import end_of_frame, whole_text


def text(payload: bytes, *, mask: bool = True) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=mask)


@given(st.binary(max_size=300) | st.integers(120, 65_535).map(bytes))
def test_a_whole_text_is_read_with_its_mask_taken_off(payload: bytes) -> None:
    assert whole_text(text(payload), 0) == (payload, len(text(payload)))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_texts_that_arrived_together_are_read_one_after_the_other(payloads: list[bytes]) -> None:
    data, start, read = b"".join(map(text, payloads)), 0, []
    while found := whole_text(data, start):
        read.append(found[0])
        start = found[1]
    assert (read, start) == (payloads, len(data))


@given(st.integers(0, 200), st.data())
def test_a_text_that_has_not_quite_arrived_is_left(length: int, data: st.DataObject) -> None:
    frame = text(bytes(length))
    assert whole_text(frame[: data.draw(st.integers(0, len(frame) - 1))], 0) is None


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=True),
        Frame(Opcode.CONT, b"rest").serialize(mask=True),
        Frame(Opcode.BINARY, b"bytes").serialize(mask=True),
        Frame(Opcode.PING, b"ping").serialize(mask=True),
        Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True),
        b"\xc1" + text(b"a reserved bit is set")[1:],
        text(b"not masked", mask=False),
        text(bytes(65_536)),
    ],
)
def test_whatever_else_comes_is_left_to_the_parser(frame: bytes) -> None:
    assert whole_text(frame, 0) is None


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_the_end_of_a_frame_is_known_when_it_is_there(size: int) -> None:
    frame = Frame(Opcode.BINARY, bytes(size)).serialize(mask=True)
    for length in {0, 1, 2, 3, 5, 6, len(frame) - 1} - {len(frame)}:
        assert end_of_frame(b"?" + frame[:length], 1, 2**16) == 0
    assert end_of_frame(b"?" + frame + b"?", 1, 2**16) == 1 + len(frame)


def test_who_breaks_the_protocol_in_the_head_of_a_frame_is_not_waited_for() -> None:
    assert end_of_frame(struct.pack("!BBQ", 0x82, 0x80 | 127, 2**16), 0, 2**16) == 0
    assert end_of_frame(struct.pack("!BBQ", 0x82, 0x80 | 127, 2**16 + 1), 0, 2**16) == 10
    assert end_of_frame(b"\x81\x05", 0, 2**16) == 2
