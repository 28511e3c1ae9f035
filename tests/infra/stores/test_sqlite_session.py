"""A connection and its thread: one piece of work after the other, each answered to whoever still waits."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator

import pytest

from chat.domain.errors import Poisoned, Unavailable
from chat.infra.stores import sqlite_session
from chat.infra.stores.sqlite_session import Session


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    made = Session("session-of-a-test", lambda: sqlite3.connect(":memory:", isolation_level=None))
    made.open()
    yield made
    await made.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "session-of-a-test"]


class Gate:
    """Work that is under way until it is let go."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, _: sqlite3.Connection) -> str:
        self.begun.set()
        assert self.open.wait(10)
        return "done"


async def test_work_is_done_in_the_order_in_which_it_came_and_on_one_thread(session: Session) -> None:
    def work(_: sqlite3.Connection, number: int) -> tuple[int, str]:
        done.append(number)
        return number, threading.current_thread().name

    done: list[int] = []
    found = await asyncio.gather(*(session.run(work, number) for number in range(50)))
    assert found == [(number, "session-of-a-test") for number in range(50)]
    assert done == list(range(50))


async def test_what_breaks_breaks_for_its_asker_alone(session: Session) -> None:
    def poisoned(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT ?", (2**64,))

    asked = [session.run(poisoned), session.run(lambda _: "well"), session.run(lambda _: 1 // 0)]
    first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert (type(first), second, type(third)) == (Poisoned, "well", ZeroDivisionError)
    assert await session.run(lambda _: "as ever") == "as ever"


async def test_what_nobody_waits_for_any_more_is_not_begun(session: Session) -> None:
    gate, begun = Gate(), list[str]()
    running = asyncio.create_task(session.run(gate))
    waiting = asyncio.create_task(session.run(lambda _: begun.append("waiting")))
    await asyncio.to_thread(gate.begun.wait, 10)
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.open.set()
    assert await running == "done"
    assert await session.run(lambda _: "next") == "next"
    assert begun == []


async def test_what_is_under_way_goes_on_to_its_end_without_its_asker(session: Session) -> None:
    gate = Gate()
    running = asyncio.create_task(session.run(gate))
    await asyncio.to_thread(gate.begun.wait, 10)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    gate.open.set()
    assert await session.run(lambda _: "next") == "next"


async def test_so_much_may_wait_and_no_more(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_session, "WAITING", 2)
    gate = Gate()
    running = [asyncio.create_task(session.run(gate)) for _ in range(2)]
    await asyncio.to_thread(gate.begun.wait, 10)
    with pytest.raises(Unavailable):
        await session.run(gate)
    gate.open.set()
    assert await asyncio.gather(*running) == ["done", "done"]
    assert await session.run(gate) == "done"


async def test_a_closed_session_takes_nothing_and_leaves_no_thread(session: Session) -> None:
    gate = Gate()
    running = asyncio.create_task(session.run(gate))
    await asyncio.to_thread(gate.begun.wait, 10)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await session.run(gate)
    gate.open.set()
    await closing
    assert await running == "done"  # what was handed in before is done
    for _ in range(1_000):
        if not threads():
            break
        await asyncio.sleep(0.01)
    assert threads() == []


async def test_a_session_can_be_opened_again(session: Session) -> None:
    await session.close()
    session.open()
    assert await session.run(lambda _: "again") == "again"


async def test_who_closes_is_told_what_was_done_before(session: Session) -> None:
    gate = Gate()
    asked = asyncio.create_task(session.run(gate))
    await asyncio.to_thread(gate.begun.wait, 10)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.wait_for(closing, 10)
    assert await asked == "done"
