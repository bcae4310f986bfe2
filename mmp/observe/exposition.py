"""The metrics as Prometheus reads them, and what each of them means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Final, Literal

from attrs import frozen
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from mmp.observe.metrics import BUCKETS, Counts, Key

PREFIX: Final = "mmp_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


@frozen
class Kind:
    """What a metric counts, and the names of its labels."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "connections_total": Kind("counter", "Connections, by what became of them at the door", ("service", "result")),
        "sessions": Kind("gauge", "Sessions there are now, by how far they are", ("service", "state")),
        "logins_total": Kind("counter", "Attempts to log in", ("service", "mechanism", "result")),
        "login_seconds": Kind("histogram", "How long the steps of a login take", ("service", "step")),
        "relay_bytes_total": Kind("counter", "Bytes moved after logins", ("service", "direction")),
        "throttle_delays_total": Kind("counter", "Attempts to log in that were held back"),
        "throttle_delays_observed_total": Kind(
            "counter", "Attempts that a throttle would have held back that only tells"
        ),
        "badguys": Kind("gauge", "Addresses that are remembered as bad"),
        "limit_refusals_total": Kind("counter", "Connections and logins that a limit has refused", ("limit",)),
        "directory_lookups_total": Kind("counter", "Look-ups, by how they were answered", ("result",)),
        "directory_seconds": Kind("histogram", "How long the directory takes for what the cache does not know"),
        "backend_up": Kind("gauge", "Whether the last attempt to reach a store succeeded", ("backend", "service")),
        "backend_sessions": Kind("gauge", "Sessions on a store", ("backend", "service")),
        "backend_seconds": Kind("histogram", "Connecting and logging in to a store", ("backend", "service")),
        "tls_handshakes_total": Kind("counter", "Handshakes with clients", ("version", "result", "resumed")),
        "certificate_expiry_seconds": Kind("gauge", "Seconds left to a certificate that clients see", ("name",)),
        "shared_state_up": Kind("gauge", "Whether what workers share is within their reach"),
        "workers": Kind("gauge", "Worker processes that serve or drain"),
        "worker_losses_total": Kind("counter", "Worker processes that ended though nobody told them to"),
        "log_lines_lost_total": Kind("counter", "Lines of workers that could not be written to the log"),
    }
)


def exposition(counts: Counts, gauges: Mapping[Key, float]) -> bytes:
    """Return all of it in Prometheus' text format, with what its library tells of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Proxy(counts, gauges))
    return generate_latest(registry)


class _Proxy(Collector):
    """What the library asks for the proxy's metrics."""

    def __init__(self, counts: Counts, gauges: Mapping[Key, float]) -> None:
        self._counts = counts
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with all of its values."""
        for name, kind in METRICS.items():
            if kind.kind == "counter":
                yield self._counter(name, kind)
            elif kind.kind == "gauge":
                yield self._gauge(name, kind)
            else:
                yield self._histogram(name, kind)

    def _counter(self, name: str, kind: Kind) -> Metric:
        family = CounterMetricFamily(PREFIX + name, kind.help, labels=kind.labels)
        for labels, value in _values(self._counts.counts, name):
            family.add_metric(labels, value)
        return family

    def _gauge(self, name: str, kind: Kind) -> Metric:
        family = GaugeMetricFamily(PREFIX + name, kind.help, labels=kind.labels)
        for labels, value in _values(self._gauges, name):
            family.add_metric(labels, value)
        return family

    def _histogram(self, name: str, kind: Kind) -> Metric:
        family = HistogramMetricFamily(PREFIX + name, kind.help, labels=kind.labels)
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        for (_, *labels), (*buckets, seconds) in _named(self._counts.histograms, name):
            family.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), seconds)
        return family


def _values(numbers: Mapping[Key, float], name: str) -> Iterator[tuple[list[str], float]]:
    return ((list(key[1:]), value) for key, value in numbers.items() if key[0] == name)


def _named(histograms: Mapping[Key, list[float]], name: str) -> Iterator[tuple[Key, list[float]]]:
    return (item for item in histograms.items() if item[0][0] == name)
