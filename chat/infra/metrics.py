"""What a monitor is told of the process and its libraries, beside the node's own numbers."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import InfoMetricFamily


def add_process(numbers: CollectorRegistry, sqlite: str) -> CollectorRegistry:
    """Memory, files and processor time, where the system tells them (Linux does); and which Python and SQLite."""
    ProcessCollector(registry=numbers)
    PlatformCollector(registry=numbers)
    numbers.register(_Sqlite(sqlite))
    return numbers


class _Sqlite:
    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("chat_sqlite", "The SQLite library in use.", {"version": self._version})
