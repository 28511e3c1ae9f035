"""An answer of HTTP goes out in one write, head and body together; and nothing is kept that somebody waits for."""

import asyncio

import pytest

from chat.infra import http_edge
from chat.infra.http_edge import Cork
from tests.infra.edges import anyio_backend as anyio_backend
from tests.infra.edges import edge, lazy, rest


class Lines:
    """A transport that remembers what it was told, and may pass it on to another."""

    def __init__(self, to: asyncio.Transport | None = None) -> None:
        self.written: list[bytes] = []
        self.closed_after: int | None = None
        self._to = to

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self._to:
            self._to.write(data)

    def is_closing(self) -> bool:
        return self.closed_after is not None

    def close(self) -> None:
        self.closed_after = len(self.written)
        if self._to:
            self._to.close()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def cork(lines: Lines) -> Cork:
    return Cork(lines)  # type: ignore[arg-type]


def test_a_head_waits_for_the_beginning_of_its_body(cork: Cork, lines: Lines) -> None:
    cork.is_in = True
    cork.write(b"head ")
    assert lines.written == []
    cork.is_in = False
    cork.write(b"body")
    cork.write(b" more")
    assert lines.written == [b"head body", b" more"]


def test_of_an_answer_without_a_body_the_head_is_written(cork: Cork, lines: Lines) -> None:
    cork.is_in = True
    cork.write(b"head")
    cork.pull()
    cork.pull()
    assert lines.written == [b"head"]


def test_what_is_no_answer_yet_waits_for_nothing(cork: Cork, lines: Lines) -> None:
    cork.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert lines.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_who_closes_leaves_nothing_unwritten(cork: Cork, lines: Lines) -> None:
    cork.is_in = True
    cork.write(b"head")
    cork.close()
    assert (lines.written, lines.closed_after) == ([b"head"], 1)
    assert cork.is_closing()


def test_to_who_is_gone_nothing_is_written(cork: Cork, lines: Lines) -> None:
    cork.is_in = True
    cork.write(b"head")
    lines.close()
    cork.close()
    assert lines.written == []


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [b"ok"]),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            [b"ok", b"ok"],
        ),
        (
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            [b"", b"ok"],
        ),
    ],
    ids=["one", "two behind one another", "one without a body before another"],
)
async def test_each_answer_is_one_write(request_: bytes, answers: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The application of these tests sends its body in two parts: the second one is a write of its own."""
    watched: list[Lines] = []

    def watching(transport: asyncio.Transport) -> Cork:
        watched.append(Lines(transport))
        return Cork(watched[-1])  # type: ignore[arg-type]

    monkeypatch.setattr(http_edge, "Cork", watching)
    async with edge() as place:
        peer = await lazy(place, request_)
        told = await rest(peer)
        peer.close()
    written = [data for lines in watched for data in lines.written]
    assert b"".join(written) == told
    heads = [data for data in written if data.startswith(b"HTTP/1.1 200")]
    assert [head.partition(b"\r\n\r\n")[2] for head in heads] == [answer[:1] for answer in answers]
    assert told.count(b"HTTP/1.1 200") == len(answers)
