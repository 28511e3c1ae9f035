"""What a monitor asks a node: its numbers, for this machine and the proxies alone.

The flow counts in passing (`chat.application.counts`), and this reads it off when somebody asks. A label has few
values, all of them ours: types of commands and queries as they are called on the wire, refusal codes, reasons. None
comes from users. Each node has a registry of its own, so that two in one process do not mix.

Who comes through a proxy that nobody named looks like a neighbour, but brings a header that neighbours do not send.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from starlette.requests import Request

from chat.application.authentication import host_of, is_proxy
from chat.application.counts import Deeds, Histogram
from chat.application.doors import tag_of
from chat.application.node import Node
from chat.domain.addresses import read_address

FORWARDED: Final = ("x-forwarded-for", "x-real-ip", "forwarded")


def may_read(request: Request, proxies: tuple[str, ...]) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    host = host_of(request)
    address = read_address(host)
    return address is not None and (address.is_loopback or is_proxy(host, proxies))


def numbers_of(node: Node, *dropped: Mapping[str, int]) -> CollectorRegistry:
    """`dropped` is how many connections were cut off before or beside the hub, by the reason."""
    registry = CollectorRegistry()
    registry.register(Numbers(node, dropped))
    return registry


class Numbers:
    """A collector, as prometheus_client calls it."""

    def __init__(self, node: Node, dropped: tuple[Mapping[str, int], ...]) -> None:
        self._node = node
        self._dropped = dropped

    def collect(self) -> Iterator[Metric]:
        yield from self._work()
        yield from self._sockets()
        yield from self._state()

    def _work(self) -> Iterator[Metric]:
        counts = self._node.counts
        yield _count("chat_turns", "Turns taken.", counts.turns)
        yield _spread("chat_turn_commands", "Commands that a turn decided together.", counts.batches)
        yield _deeds("chat_commands", "Commands answered: ack, again (the first answer) or why not.", counts.commands)
        yield _deeds("chat_queries", "Questions answered: answer, or why not.", counts.queries)
        yield _spread("chat_commit_seconds", "Time that the store took to commit a turn.", counts.commits)
        yield _spread("chat_event_loop_lag_seconds", "How late the event loop was with what was due.", counts.lags)

    def _sockets(self) -> Iterator[Metric]:
        counts, hub = self._node.counts, self._node.hub
        drops = sum((Counter(dropped) for dropped in self._dropped), Counter(hub.dropped))
        yield _gauge("chat_sockets", "Open connections.", len(hub))
        yield _gauge("chat_accounts_connected", "Accounts with a connection.", len(hub.accounts))
        yield _gauge("chat_unsent_bytes", "Bytes that wait for connections to take them.", hub.unsent())
        yield _by(
            "reason", "chat_drops", "Connections sent away or cut off; one that was sent and did not go is both.", drops
        )
        yield _by("code", "chat_connections_refused", "Connections that got no hello.", counts.turned_away)
        yield _count("chat_resumes", "Resumes asked for.", counts.resumes)
        yield _by("reason", "chat_resets", "Rooms that a resume could not bring up to date.", counts.resets)

    def _state(self) -> Iterator[Metric]:
        node = self._node
        yield _gauge("chat_log_position", "The position up to which this node knows the log.", node.cursor.position)
        yield _gauge("chat_commands_waiting", "Commands that wait for a turn.", len(node.turns.queue))
        yield _gauge("chat_passwords_pending", "Passwords that are hashed or wait for it.", node.passwords.pending)
        yield _gauge("chat_states_at_hand", "States in the cache.", len(node.cache))
        yield _gauge("chat_states_at_hand_bytes", "Encoded size of the states in the cache.", node.cache.size)
        yield _gauge("chat_broker_away", "1 while no news come from other nodes.", node.broker.is_away)
        yield _by("reason", "chat_news_dropped", "News for other nodes that were not sent.", node.broker.dropped)
        trouble = node.turns.in_trouble
        yield _gauge("chat_store_in_trouble", "1 from a turn that the store did not take until it takes one.", trouble)
        yield _gauge("chat_draining", "1 while this node shuts down.", node.draining)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def _count(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(name, help, value=value)


def _spread(name: str, help: str, histogram: Histogram) -> Metric:
    buckets = [("+Inf" if bound == inf else str(float(bound)), number) for bound, number in histogram.upto]
    return HistogramMetricFamily(name, help, buckets=buckets, sum_value=histogram.sum)


def _by(label: str, name: str, help: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, help, labels=[label])
    for value, number in sorted(counts.items()):
        family.add_metric([value], number)
    return family


def _deeds(name: str, help: str, deeds: Deeds) -> Metric:
    """A form with secrets and the command that is made of it have one name on the wire."""
    counts: Counter[tuple[str, str]] = Counter()
    for (kind, outcome), number in deeds.items():
        counts[_name(kind), outcome] += number
    family = CounterMetricFamily(name, help, labels=["type", "outcome"])
    for labels, number in sorted(counts.items()):
        family.add_metric(labels, number)
    return family


_name: Final = cache(tag_of)
