"""Between nodes: from sending on one to hearing on another, while little is said."""

import asyncio
import time

from tests.bench.contestants import Contestant
from tests.bench.figures import Figures, percentiles
from tests.bench.ground import Ground, Seed
from tests.bench.growth import PAUSE, SENT
from tests.bench.kept import check_kept
from tests.client import Account, Talk


def across(contestant: Contestant, ground: Ground) -> Figures:
    with contestant.running(ground, Seed(accounts=100)) as running:
        token = running.tokens.read_text().split()[0]
        took = asyncio.run(_across(*(Account(f"http://127.0.0.1:{port}", token) for port in running.ports)))
        check_kept(running, 1, SENT)
    return percentiles("heard", took)


async def _across(here: Account, there: Account) -> list[float]:
    took = []
    async with Talk(here) as one, Talk(there) as other:
        room = (await one.until(type="hello"))["rooms"][0]["id"]
        await other.until(type="hello")
        for number in range(SENT):
            began = time.perf_counter()
            await one.say("send_message", id=f"across {number}", room=room, text=f"across {number}")
            await other.until(type="message_sent", text=f"across {number}")
            took.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(PAUSE)
    return took
