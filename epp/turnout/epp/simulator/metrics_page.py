"""The /metrics page: the families of vLLM 0.32 that a router or a person reads, from a snapshot of the
engine.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.measurements import EngineSnapshot, HistogramSnapshot, TransferSnapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MAX_ADAPTER_SERIES = 1_024
_ENGINE_LABELS = ("engine", "model_name")


class AdapterSeries:
    """Every combination of running and waiting adapters that the engine has had, and when it had it last.

    vLLM never drops a series of `vllm:lora_requests_info`; its value, in Unix seconds, tells the current one.
    Here the oldest of more than 1,024 is dropped.
    """

    def __init__(self) -> None:
        self._seen_at: dict[tuple[str, str], float] = {}

    def record(self, running: Iterable[str], waiting: Iterable[str], unix_time: float) -> None:
        """Note what runs and waits at `unix_time`."""
        key = (",".join(running), ",".join(waiting))
        self._seen_at[key] = unix_time
        if len(self._seen_at) > _MAX_ADAPTER_SERIES:
            del self._seen_at[min(self._seen_at, key=self._seen_at.__getitem__)]

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Yield (running adapters, waiting adapters, Unix seconds)."""
        return ((running, waiting, seen_at) for (running, waiting), seen_at in self._seen_at.items())


class MetricsPage:
    """Renders the page. `snapshot` is called once per page; `started_at` is in Unix seconds.

    `transfers` tells of the KV connector; None, or a snapshot of None, is an engine without one.
    """

    def __init__(
        self,
        config: EngineConfig,
        snapshot: Callable[[], EngineSnapshot],
        adapters: AdapterSeries | None,
        started_at: float,
        transfers: Callable[[], TransferSnapshot | None] | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(config, snapshot, adapters, started_at))
        if transfers is not None:
            self._registry.register(_TransferCollector(config.model, started_at, transfers))

    def render(self) -> bytes:
        """Return the page in the Prometheus text format."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    def __init__(
        self,
        config: EngineConfig,
        snapshot: Callable[[], EngineSnapshot],
        adapters: AdapterSeries | None,
        started_at: float,
    ) -> None:
        self._config = config
        self._snapshot = snapshot
        self._adapters = adapters
        self._started_at = started_at
        self._labels = ("0", config.model)

    # Without it, registering would render a page to learn the names.
    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        yield from self._queue_gauges(snapshot)
        yield from self._token_counters(snapshot)
        yield self._finished_requests(snapshot)
        yield from self._histograms(snapshot)
        if self._adapters is not None:
            yield self._adapter_info(self._adapters)
        yield self._cache_info()

    def _queue_gauges(self, snapshot: EngineSnapshot) -> Iterator[Metric]:
        yield self._gauge("num_requests_running", "Number of requests in model execution batches.", snapshot.running)
        yield self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", snapshot.waiting)
        by_reason = GaugeMetricFamily(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason: 'capacity' or 'deferred' (no adapter slot).",
            labels=(*_ENGINE_LABELS, "reason"),
        )
        by_reason.add_metric((*self._labels, "capacity"), snapshot.waiting_for_capacity)
        by_reason.add_metric((*self._labels, "deferred"), snapshot.waiting_for_adapter)
        yield by_reason
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", snapshot.kv_cache_usage)

    _COUNTERS: ClassVar[tuple[tuple[str, str, Callable[[EngineSnapshot], int]], ...]] = (
        (
            "prefix_cache_queries",
            "Prefix cache queries, in terms of number of queried tokens.",
            lambda snapshot: snapshot.prefix_cache_queries,
        ),
        (
            "prefix_cache_hits",
            "Prefix cache hits, in terms of number of cached tokens.",
            lambda snapshot: snapshot.prefix_cache_hits,
        ),
        (
            "num_preemptions",
            "Cumulative number of preemption from the engine.",
            lambda snapshot: snapshot.preemptions,
        ),
        ("prompt_tokens", "Number of prefill tokens processed.", lambda snapshot: snapshot.prompt_tokens),
        (
            "generation_tokens",
            "Number of generation tokens processed.",
            lambda snapshot: snapshot.generation_tokens,
        ),
    )

    def _token_counters(self, snapshot: EngineSnapshot) -> Iterator[Metric]:
        for name, text, value in self._COUNTERS:
            counter = CounterMetricFamily(f"vllm:{name}", text, labels=_ENGINE_LABELS)
            counter.add_metric(self._labels, value(snapshot), created=self._started_at)
            yield counter

    def _finished_requests(self, snapshot: EngineSnapshot) -> Metric:
        counter = CounterMetricFamily(
            "vllm:request_success",
            "Count of successfully processed requests.",
            labels=("engine", "finished_reason", "model_name"),
        )
        for reason, count in snapshot.finished.items():
            counter.add_metric(("0", reason, self._config.model), count, created=self._started_at)
        return counter

    def _histograms(self, snapshot: EngineSnapshot) -> Iterator[Metric]:
        yield self._histogram(
            "time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            snapshot.time_to_first_token,
        )
        yield self._histogram(
            "inter_token_latency_seconds",
            "Histogram of inter-token latency in seconds.",
            snapshot.inter_token_latency,
        )
        yield self._histogram(
            "e2e_request_latency_seconds",
            "Histogram of e2e request latency in seconds.",
            snapshot.request_latency,
        )
        yield self._histogram(
            "request_queue_time_seconds",
            "Histogram of time spent in WAITING phase for request.",
            snapshot.queue_time,
        )

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        gauge = GaugeMetricFamily(f"vllm:{name}", text, labels=_ENGINE_LABELS)
        gauge.add_metric(self._labels, value)
        return gauge

    def _histogram(self, name: str, text: str, values: HistogramSnapshot) -> Metric:
        return _histogram(name, text, self._labels, values)

    def _adapter_info(self, adapters: AdapterSeries) -> Metric:
        info = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Running stats on lora requests.",
            labels=("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
        )
        for running, waiting, seen_at in adapters:
            info.add_metric((str(self._config.max_loras), running, waiting), seen_at)
        return info

    def _cache_info(self) -> Metric:
        config = self._config
        labels = {
            "block_size": str(config.block_size),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "engine": "0",
            "kv_cache_size_tokens": str(config.num_blocks * config.block_size),
            "num_gpu_blocks": str(config.num_blocks),
        }
        text = "Information of the LLMEngine CacheConfig"
        info = GaugeMetricFamily("vllm:cache_config_info", text, labels=tuple(labels))
        info.add_metric(tuple(labels.values()), 1.0)
        return info


class _TransferCollector(Collector):
    """The families of vLLM's NIXL connector."""

    def __init__(self, model: str, started_at: float, transfers: Callable[[], TransferSnapshot | None]) -> None:
        self._labels = ("0", model)
        self._started_at = started_at
        self._transfers = transfers

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        transfers = self._transfers()
        if transfers is None:
            return
        yield _histogram(
            "nixl_xfer_time_seconds",
            "Histogram of transfer duration for NIXL KV Cache transfers.",
            self._labels,
            transfers.seconds,
        )
        yield _histogram(
            "nixl_bytes_transferred",
            "Histogram of bytes transferred per NIXL KV Cache transfers.",
            self._labels,
            transfers.size,
        )
        failed = CounterMetricFamily(
            "vllm:nixl_num_failed_transfers", "Number of failed NIXL KV Cache transfers.", labels=_ENGINE_LABELS
        )
        failed.add_metric(self._labels, transfers.failed, created=self._started_at)
        yield failed


def _histogram(name: str, text: str, labels: tuple[str, str], values: HistogramSnapshot) -> Metric:
    family = HistogramMetricFamily(f"vllm:{name}", text, labels=_ENGINE_LABELS)
    buckets: list[tuple[str, float]] = []
    count = 0
    for bound, in_bucket in zip((*map(floatToGoString, values.bounds), "+Inf"), values.counts, strict=True):
        count += in_bucket
        buckets.append((bound, count))
    family.add_metric(labels, buckets, values.total)
    return family
