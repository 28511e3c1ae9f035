"""A line of news is bounded by number and by bytes, and the oldest goes."""

import asyncio

from chat.infra.brokers.line import Line


async def everything(line: Line) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(5):
        while not found or found[-1] != b"end":
            found.append(await line.take())
    return found


async def test_news_are_taken_in_their_order() -> None:
    line = Line(10)
    assert [line.put(news) for news in (b"one", b"two", b"end")] == [0, 0, 0]
    assert await everything(line) == [b"one", b"two", b"end"]


async def test_who_takes_from_an_empty_line_waits() -> None:
    line = Line(10)
    taking = asyncio.create_task(everything(line))
    await asyncio.sleep(0)
    assert not taking.done()
    line.put(b"one")
    await asyncio.sleep(0)
    line.put(b"end")
    assert await taking == [b"one", b"end"]


async def test_of_too_many_the_oldest_goes() -> None:
    line = Line(3)
    assert [line.put(b"%d" % number) for number in range(4)] == [0, 0, 0, 1]
    assert line.put(b"end") == 1
    assert await everything(line) == [b"2", b"3", b"end"]


async def test_of_too_many_bytes_as_many_go_as_have_to() -> None:
    line = Line(100, 10)
    assert [line.put(news) for news in (b"1234", b"1234", b"1234567")] == [0, 0, 2]
    assert line.put(b"end") == 0
    assert await everything(line) == [b"1234567", b"end"]


async def test_what_is_larger_than_the_whole_line_goes_itself() -> None:
    line = Line(100, 10)
    assert line.put(b"x" * 11) == 1
    assert line.put(b"end") == 0
    assert await everything(line) == [b"end"]
