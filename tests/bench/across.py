"""Between nodes: from sending on one to hearing on another, while little is said."""

import asyncio
import time
from statistics import median, quantiles
from typing import Final

from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Seed
from tests.client import Account, Talk

SENT: Final = 300  # messages, one after the other
PAUSE: Final = 0.01  # seconds between two of them


def across(contestant: Contestant, ground: Ground) -> Figures:
    with contestant.running(ground, Seed(accounts=100)) as running:
        token = running.tokens.read_text().split()[0]
        took = asyncio.run(_across(*(Account(f"http://127.0.0.1:{port}", token) for port in running.ports)))
    return {"heard_p50_ms": median(took), "heard_p99_ms": quantiles(took, n=100)[98]}


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
