"""Figures of the pool, read from the data layer at the moment of a scrape."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.labels import printable
from turnout.framework import Endpoint, EndpointMetrics


class PoolView(Protocol):
    """What the gauges read of the data layer. Called on the event loop only."""

    def snapshot(self) -> Sequence[Endpoint]:
        """Every endpoint of the pool."""
        ...

    def statuses(self) -> Sequence[EndpointStatus]:
        """Whether each of them is in service, and why not."""
        ...


_AVERAGED: dict[str, tuple[str, Callable[[Endpoint], float]]] = {
    "kv_cache_utilization": (
        "KV-cache utilization (0 to 1)",
        lambda endpoint: endpoint.metrics.kv_cache_utilization,
    ),
    "queue_size": ("waiting queue size", lambda endpoint: endpoint.metrics.waiting_queue_size),
    "running_requests": ("running requests", lambda endpoint: endpoint.metrics.running_requests),
}


_TRANSFERS: dict[str, tuple[str, Callable[[EndpointMetrics], float]]] = {
    "kv_transfers": (
        "Transfers of KV cache between engines that the engine of an endpoint reports.",
        lambda metrics: metrics.kv_transfers,
    ),
    "kv_transfer_seconds": (
        "Time that those transfers took together, by the engine's report.",
        lambda metrics: metrics.kv_transfer_seconds,
    ),
}


class PoolGauges(Collector):
    """Means and deviations over the endpoints in service, and single values of every endpoint.

    Transfers between engines are counters, of the endpoints that report them.
    """

    def __init__(self, prefix: str, pool_name: str, view: PoolView) -> None:
        self._prefix = prefix
        self._pool_name = pool_name
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """The pool as it is; the means of an empty pool are 0."""
        everyone = self._view.snapshot()
        serving = {status.name for status in self._view.statuses() if status.in_service}
        ready = [endpoint for endpoint in everyone if endpoint.name in serving]
        for stem, (words, read) in _AVERAGED.items():
            mean, deviation = _mean_and_deviation([read(endpoint) for endpoint in ready])
            yield self._of_pool(f"average_{stem}", f"Mean {words} of the endpoints in service.", mean)
            yield self._of_pool(f"std_dev_{stem}", f"Standard deviation of the {words} in service.", deviation)
        yield self._of_pool("ready_endpoints", "Endpoints in service.", len(ready))
        yield self._queue_sizes(everyone)
        yield self._in_flight(everyone)
        for stem, (words, read_metrics) in _TRANSFERS.items():
            reporting = [endpoint for endpoint in everyone if stem in endpoint.metrics.observed_at]
            if reporting:
                yield self._counted(stem, words, reporting, read_metrics)

    def _of_pool(self, stem: str, documentation: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(self._prefix + stem, documentation, labels=("name",))
        family.add_metric((self._pool_name,), value)
        return family

    def _queue_sizes(self, endpoints: Sequence[Endpoint]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            f"{self._prefix}per_endpoint_queue_size",
            "Waiting requests of an endpoint, with those it has not reported yet.",
            labels=("name", "model_server_endpoint"),
        )
        short_names = Counter(_split(endpoint)[1] for endpoint in endpoints)
        for endpoint in endpoints:
            short = _split(endpoint)[1]
            # Two namespaces may use one name; a series must not occur twice on a page.
            shown = short if short_names[short] == 1 else printable(endpoint.name)
            family.add_metric((self._pool_name, shown), endpoint.metrics.waiting_queue_size)
        return family

    def _in_flight(self, endpoints: Sequence[Endpoint]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            f"{self._prefix}inflight_requests",
            "Requests sent to an endpoint by this process that have not ended.",
            labels=("endpoint_name", "namespace"),
        )
        for endpoint in endpoints:
            namespace, name = _split(endpoint)
            family.add_metric((name, namespace), endpoint.in_flight)
        return family

    def _counted(
        self, stem: str, words: str, endpoints: Sequence[Endpoint], read: Callable[[EndpointMetrics], float]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(self._prefix + stem, words, labels=("endpoint_name", "namespace"))
        for endpoint in endpoints:
            namespace, name = _split(endpoint)
            family.add_metric((name, namespace), read(endpoint.metrics))
        return family


def _split(endpoint: Endpoint) -> tuple[str, str]:
    namespace, _, name = endpoint.name.rpartition("/")
    return printable(namespace), printable(name)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
