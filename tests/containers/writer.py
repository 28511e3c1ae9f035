"""A program that writes and reads by HTTP behind a proxy: what it does not know the outcome of, it asks again with the
same key, and of what it reads it expects an answer at once.
"""

import asyncio
import time
from collections import Counter
from itertools import count

from tests import canaries
from tests.client import Account, Response
from tests.faults.checker import Attempt, History
from tests.faults.load import AGAIN

PAUSE = 0.02  # seconds between two messages
AGAIN_AFTER = 0.1  # seconds


class Writer:
    def __init__(self, account: Account, room: str) -> None:
        self.account = account
        self.history = History(account.id)
        self.posted: Counter[int] = Counter()  # answers by status
        self.read: Counter[int] = Counter()
        self.longest = 0.0  # seconds from a message to its acknowledgement, all tries included
        self.sending = True
        self._room = room

    async def run(self) -> None:
        """Until it shall send no more."""
        for number in count(1):
            if not self.sending:
                return
            name = f"{self.account.name}-http-{number:06d}"
            canaries.keep(name)
            await self._send(Attempt(name, self._room, name))
            answer = await asyncio.to_thread(self.account.get, "list_messages", room=self._room, limit=1)
            self.read[answer.status] += 1
            await asyncio.sleep(PAUSE)

    async def _send(self, attempt: Attempt) -> None:
        self.history.attempts[attempt.id] = attempt
        start = time.monotonic()
        while (answer := await asyncio.to_thread(self._post, attempt)).status != 200:
            self.history.refused.append(answer.json)
            assert answer.json["code"] in AGAIN, answer
            await asyncio.sleep(AGAIN_AFTER)
        self.history.acknowledged[attempt.id] = answer.json["seq"]
        self.longest = max(self.longest, time.monotonic() - start)

    def _post(self, attempt: Attempt) -> Response:
        answer = self.account.post("send_message", key=attempt.id, room=attempt.room, text=attempt.text)
        self.posted[answer.status] += 1
        return answer
