"""The line in front of the turns: one for each account, served round robin, and bounded."""

import asyncio

import pytest

from chat.application import queue
from chat.application.queue import Queue, Waiting
from chat.domain.errors import Refused
from chat.domain.messages import SendMessage


def queued(actor: str, number: int) -> Waiting:
    return Waiting(SendMessage(id=f"{number}", room="room", text="hi"), actor, "", "", lambda _: None)


async def test_everybody_in_turn_gets_one_command_in() -> None:
    line = Queue()
    for number in range(5):
        line.put(queued("flooder", number))
    line.put(queued("bob", 0))
    line.put(queued("cat", 0))
    line.put(queued("bob", 1))
    batch = await line.take(6)
    assert [waiting.actor for waiting in batch] == ["flooder", "bob", "cat", "flooder", "bob", "flooder"]
    assert [waiting.command.id for waiting in batch if waiting.actor == "flooder"] == ["0", "1", "2"]
    assert len(line) == 2
    line.put(queued("dan", 0))
    assert [waiting.actor for waiting in await line.take(6)] == ["flooder", "dan", "flooder"]
    assert len(line) == 0


async def test_a_turn_waits_for_a_first_command() -> None:
    line = Queue()
    taking = asyncio.create_task(line.take(10))
    await asyncio.sleep(0)
    assert not taking.done()
    line.put(queued("ann", 0))
    assert len(await taking) == 1


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A line of five, three of them one account's."""
    monkeypatch.setattr(queue, "LINE", 3)
    monkeypatch.setattr(queue, "ALL", 5)
    return Queue()


def is_busy(line: Queue, actor: str) -> bool:
    try:
        line.put(queued(actor, 0))
    except Refused as refused:
        return (refused.code, refused.retry_after) == ("busy", 1.0)
    return False


async def test_too_much_of_one_account_is_busy(short: Queue) -> None:
    assert [is_busy(short, "ann") for _ in range(4)] == [False, False, False, True]
    assert not is_busy(short, "bob")
    await short.take(1)
    assert not is_busy(short, "ann")


async def test_few_who_fill_the_line_keep_nobody_else_out(short: Queue) -> None:
    assert [is_busy(short, actor) for actor in ("ann", "ann", "ann", "bob", "bob")] == [False] * 5
    assert is_busy(short, "bob")
    assert [is_busy(short, actor) for actor in ("cat", "dan")] == [False, False]
    assert [is_busy(short, actor) for actor in ("cat", "dan")] == [True, True]
    assert [waiting.actor for waiting in await short.take(4)] == ["ann", "bob", "cat", "dan"]


async def test_the_line_has_an_end_for_everybody(short: Queue) -> None:
    refused = [is_busy(short, f"account {number}") for number in range(12)]
    assert refused == [False] * 10 + [True] * 2
    assert len(short) == 10
