"""Somebody who just wants to chat, in a process of their own: what they wait for is the server's doing alone, however
busy a test is.

    python -m tests.faults.healthy ADDRESS TOKEN ROOM

They send a message, hear it, ask whether the server is well, and so on, about as often as their rate allows. When
standard input is closed they say as JSON how it went.
"""

import asyncio
import json
import os
import sys
import time
from itertools import count
from typing import Any, Self

from tests.client import Account, Talk, request
from tests.faults.load import milliseconds
from tests.running import ROOT

PAUSE = 0.06  # seconds; their rate allows twenty a second


async def chat(account: Account, room: str, told: dict[str, Any], over: "asyncio.Task[str]") -> None:
    async with Talk(account) as talk:
        await talk.until(type="hello")
        for number in count(1):
            start = time.perf_counter()
            answer = await talk.ask("send_message", room=room, text=f"{number}", id=f"{os.getpid()}-{number}")
            told["acknowledged"].append(time.perf_counter() - start)
            if answer["type"] != "ack":
                told["refused"].append(answer)
            start = time.perf_counter()
            response = await asyncio.to_thread(request, account.address, "GET", "/healthz")
            told["health"].append(time.perf_counter() - start)
            told["statuses"].append(response.status)
            if number == 1:
                print("ready", flush=True)
            if over.done():
                return
            await asyncio.sleep(PAUSE)


async def main(address: str, token: str, room: str) -> None:
    told: dict[str, Any] = {"acknowledged": [], "health": [], "statuses": [], "refused": [], "broken": None}
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    try:
        await chat(Account(address, token), room, told, over)
    except Exception as error:
        told["broken"] = repr(error)
    print(json.dumps(told), flush=True)


class Healthy:
    """Them, while a test does what it does. In the end they have to have been served all the time."""

    def __init__(self, account: Account, room: str) -> None:
        self._arguments = (account.address, account.token, room)
        self._process: asyncio.subprocess.Process
        self.told: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.healthy", *self._arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        assert self._process.stdout
        assert await asyncio.wait_for(self._process.stdout.readline(), 20) == b"ready\n"
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        async with asyncio.timeout(30):
            said, nothing = await self._process.communicate(b"")
        assert not nothing
        self.told = json.loads(said)
        if kind is None:
            assert self.told["broken"] is None
            assert not self.told["refused"]
            assert set(self.told["statuses"]) == {200}

    def __str__(self) -> str:
        acknowledged, health = self.told["acknowledged"], self.told["health"]
        return (
            f"beside it {len(acknowledged)} messages acknowledged within {milliseconds(acknowledged)}, "
            f"{len(health)} health checks within {milliseconds(health)}"
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
