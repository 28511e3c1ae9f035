"""Wall time that cannot be set back: what the machine said at the start, and a monotonic clock since, which goes on
while the machine sleeps.

When the machine's clock jumps by more than a minute, that is logged once and ignored until a restart.
"""

import time
from datetime import UTC, datetime
from typing import Final

import structlog

SLEEPLESS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux stops the other in its sleep
JUMP: Final = 60.0  # seconds of difference that are worth a word

log = structlog.get_logger(__name__)


class SystemClock:
    def __init__(self) -> None:
        self._wall = time.time()
        self._started = time.clock_gettime(SLEEPLESS)
        self._jumped = False
        self._second = 0, ""  # the last one that was asked for, and how it is written

    def seconds(self) -> float:
        return time.monotonic()

    def now(self) -> str:
        moment = self._wall + (time.clock_gettime(SLEEPLESS) - self._started)
        self._watch(moment)
        second, microseconds = divmod(int(moment * 1_000_000), 1_000_000)
        if second != self._second[0]:
            self._second = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second[1]}.{microseconds:06d}Z"

    def _watch(self, moment: float) -> None:
        ahead = time.time() - moment
        if abs(ahead) > JUMP and not self._jumped:
            log.warning("the machine's clock jumped; its jump is ignored until a restart", seconds=round(ahead))
        self._jumped = abs(ahead) > JUMP
