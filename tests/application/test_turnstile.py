"""One at a time for each name, in the order in which they came."""

import asyncio

import pytest

from chat.application.turnstile import Turnstile
from chat.domain.errors import Refused


class Works:
    """Pieces of work that note when they begin and end."""

    def __init__(self, waiting: int = 64) -> None:
        self.stile = Turnstile(waiting)
        self.told: list[str] = []

    async def work(self, name: str, piece: str, *, breaks: bool = False) -> None:
        async with self.stile.of(name):
            self.told.append(f"{piece} begins")
            await asyncio.sleep(0)
            if breaks:
                raise ZeroDivisionError
            self.told.append(f"{piece} ends")


async def test_one_name_waits_and_another_does_not() -> None:
    works = Works()
    await asyncio.gather(works.work("ann", "a1"), works.work("ann", "a2"), works.work("bob", "b1"))
    of_ann = [line for line in works.told if line.startswith("a")]
    assert of_ann == ["a1 begins", "a1 ends", "a2 begins", "a2 ends"]
    assert works.told.index("b1 begins") < works.told.index("a1 ends")
    assert len(works.stile) == 0


async def test_what_breaks_or_is_given_up_lets_the_next_one_in() -> None:
    works = Works()
    pieces = [asyncio.create_task(works.work("ann", f"a{number}", breaks=number == 0)) for number in range(3)]
    await asyncio.sleep(0)
    pieces[1].cancel()
    await asyncio.gather(*pieces, return_exceptions=True)
    assert works.told == ["a0 begins", "a2 begins", "a2 ends"]
    assert len(works.stile) == 0


async def test_beyond_a_bound_it_is_busy() -> None:
    works = Works(waiting=2)
    pieces = [asyncio.create_task(works.work("ann", f"a{number}")) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await works.work("ann", "a3")
    assert (refused.value.code, refused.value.retry_after) == ("busy", 1.0)
    await works.work("bob", "b0")
    await asyncio.gather(*pieces)
    await works.work("ann", "a4")
    assert len(works.stile) == 0


async def test_without_a_limit_nobody_waits() -> None:
    works = Works()
    works.stile = Turnstile(0, limited=False)
    await asyncio.gather(*(works.work("ann", f"a{number}") for number in range(3)))
    assert [line for line in works.told if line.endswith("begins")] == works.told[:3]
    assert len(works.stile) == 0
