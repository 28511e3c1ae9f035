"""A header that the library cannot decode is handed on as one that says so; everything else as it came."""

import asyncio
import struct

import pamqp.frame
import pytest
from aiormq.connection import FrameReceiver
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from chat.infra.brokers.rabbitmq_frames import UNREADABLE, LenientReader, fit


def header(body_size: int = 7, **properties: object) -> bytes:
    given = Basic.Properties(**properties)  # type: ignore[arg-type]
    return pamqp.frame.marshal(ContentHeader(body_size=body_size, properties=given), 5)


def timed(seconds: int) -> bytes:
    """A header with this time in it, which the library would not write."""
    payload = struct.pack(">HHQHQ", 60, 0, 7, 1 << 6, seconds)
    return struct.pack(">BHI", 2, 5, len(payload)) + payload + b"\xce"


UNDECODABLE = {
    "an id that is not text": header(correlation_id="~~~").replace(b"~~~", b"\xff\xfe\xfd"),
    "a name that is not text": header(headers={"~~~": "x"}).replace(b"~~~", b"\xff\xfe\xfd"),
    "a time beyond the calendar": timed(2**63),
    "a value of no known type": header(headers={"a": "~~~"}).replace(b"S\0\0\0\3~~~", b"?\0\0\0\3~~~"),
}


@pytest.mark.parametrize("frame", UNDECODABLE.values(), ids=UNDECODABLE)
def test_a_header_that_cannot_be_decoded_says_that_it_cannot(frame: bytes) -> None:
    with pytest.raises(Exception, match=r"."):
        pamqp.frame.unmarshal(frame)
    taken, channel, decoded = pamqp.frame.unmarshal(fit(frame))
    assert isinstance(decoded, ContentHeader)
    assert (channel, decoded.body_size, decoded.properties.message_type) == (5, 7, UNREADABLE)
    assert taken == len(fit(frame))


@pytest.mark.parametrize(
    "frame",
    [
        header(correlation_id="c1", headers={"token": "bot", "n": 1}),
        pamqp.frame.marshal(Basic.Ack(delivery_tag=1), 5),
        pamqp.frame.marshal(ContentBody(b"\xff\xfe"), 5),
        pamqp.frame.marshal(Heartbeat(), 0),
    ],
)
def test_everything_else_is_as_it_came(frame: bytes) -> None:
    assert fit(frame) is frame


async def test_the_library_reads_frame_after_frame_and_sees_the_end() -> None:
    plain = asyncio.StreamReader()
    wanted = [Basic.Deliver, ContentHeader, ContentBody, Heartbeat]
    plain.feed_data(pamqp.frame.marshal(Basic.Deliver("tag", 1, False, "", "chat.commands"), 5))
    plain.feed_data(UNDECODABLE["an id that is not text"])
    plain.feed_data(pamqp.frame.marshal(ContentBody(b"1234567"), 5))
    plain.feed_data(pamqp.frame.marshal(Heartbeat(), 0))
    plain.feed_eof()
    received = [frame async for _, _, frame in FrameReceiver(LenientReader(plain))]  # type: ignore[arg-type]
    assert [type(frame) for frame in received] == wanted


async def test_a_server_of_another_protocol_is_not_waited_for() -> None:
    plain = asyncio.StreamReader()
    plain.feed_data(b"AMQP\x00\x00\x09\x01")
    async with asyncio.timeout(5):
        with pytest.raises(Exception, match="protocol header"):
            await FrameReceiver(LenientReader(plain)).get_frame()  # type: ignore[arg-type]
