"""Tells how full the pool is by the queues and caches that its engines report."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from turnout.framework import CycleState, Endpoint, GaugeReading, InferenceRequest, PluginName, Reading
from turnout.plugins.saturation.headroom import filter_limit
from turnout.plugins.saturation.load import LoadGauge
from turnout.plugins.saturation.staleness import Staleness

DEFAULT_NAME = PluginName("utilization-detector")
DEFAULT_STALENESS = timedelta(milliseconds=200)

# Stale metrics say nothing, and nothing may be sent where nothing is known.
STALE_LOAD = 1.0


class UtilizationDetector:
    """Saturation is the mean of the endpoints' loads, an endpoint's load the larger of waiting queue size /
    ``queue_depth_threshold`` and KV-cache utilization / ``kv_cache_util_threshold``.

    The load of an endpoint with stale metrics is 1. Metrics are stale when they were never reported, or when they are
    older than ``metrics_staleness_threshold`` and four of the intervals in which the endpoint is scraped, which grow
    with the pool. It is 2 s at least for an endpoint without requests in flight, or whose last page showed no work.

    As a filter it removes endpoints with stale metrics and those whose load is at least ``1 + headroom``, unless that
    removes all.

    Raises:
        ValueError: a threshold is not positive, ``kv_cache_util_threshold`` is above 1, or ``headroom`` is negative or
            not finite.
    """

    def __init__(
        self,
        queue_depth_threshold: int = 5,
        kv_cache_util_threshold: float = 0.8,
        metrics_staleness_threshold: timedelta = DEFAULT_STALENESS,
        headroom: float = 0.0,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        gauge = LoadGauge(queue_depth_threshold, kv_cache_util_threshold)
        if metrics_staleness_threshold <= timedelta():
            raise ValueError(f"metrics_staleness_threshold must be positive, got {metrics_staleness_threshold}")
        self._load = gauge.of
        self._limit = filter_limit(headroom)
        self._staleness = Staleness(metrics_staleness_threshold.total_seconds())
        self._name = name
        # Parts of the pool are asked about one by one. Holds no endpoint that left it.
        self._stale: frozenset[str] = frozenset()

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Learns the size of the pool, which sets how often an endpoint is scraped."""
        self._staleness.resize(len(endpoints))
        self._stale &= {endpoint.name for endpoint in endpoints}

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        if not endpoints:
            return 1.0
        is_stale = self._staleness.is_stale
        stale = [endpoint.name for endpoint in endpoints if is_stale(endpoint, now)]
        if stale or self._stale:
            self._stale = self._stale.difference(endpoint.name for endpoint in endpoints).union(stale)
        loads = (self._load(endpoint) for endpoint in endpoints if endpoint.name not in self._stale)
        return (sum(loads) + STALE_LOAD * len(stale)) / len(endpoints)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that are known to have room, or all."""
        is_stale, limit, now = self._staleness.is_stale, self._limit, state.now
        fit = [endpoint for endpoint in endpoints if self._load(endpoint) < limit and not is_stale(endpoint, now)]
        return fit or endpoints

    def readings(self) -> Iterable[Reading]:
        """The endpoints whose metrics were found stale when saturation was last asked for."""
        help_text = "Endpoints whose metrics are missing or too old, and which count as saturated."
        yield GaugeReading("flow_control_stale_endpoints", help_text, len(self._stale), {"detector": self._name})
