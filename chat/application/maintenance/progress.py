"""How far long work has come, on stderr: a bar where somebody looks on, else a line now and then."""

import sys
import time
from typing import Final, TextIO

WIDTH: Final = 30
BAR_PAUSE: Final = 0.2  # seconds between two drawings of the bar
LINE_PAUSE: Final = 2.0


class Progress:
    """Of `total` things called `what`. Used in a `with`: the bar is gone when it is left."""

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self._what = what
        self._total = max(total, 1)
        self._out = out or sys.stderr
        self._bar = self._out.isatty()
        self._began = time.monotonic()
        self._told = self._began
        self._tenth = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def at(self, done: int, total: int | None = None) -> None:
        """`total` where it is only known by now."""
        self._total = max(total or self._total, 1)
        now = time.monotonic()
        if now - self._told < (BAR_PAUSE if self._bar else LINE_PAUSE):
            return
        if self._bar:
            self._told = now
            self._draw(done)
        elif (tenth := 10 * done // self._total) > self._tenth:
            self._told, self._tenth = now, tenth
            print(f"{self._what}: {10 * tenth}% after {self._seconds:.0f} s", file=self._out, flush=True)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _draw(self, done: int) -> None:
        full = WIDTH * done // self._total
        bar = "#" * full + "." * (WIDTH - full)
        self._out.write(f"\r[{bar}] {done:,} of {self._total:,} {self._what}, {self._seconds:.0f} s\x1b[K")
        self._out.flush()
