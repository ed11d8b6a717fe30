"""What the engine counts while it runs, under the names and buckets of vLLM's metrics page."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "abort"]

TIME_TO_FIRST_TOKEN_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
INTER_TOKEN_LATENCY_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
# Those of vLLM's NixlPromMetrics.
TRANSFER_TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 5.0)
TRANSFER_BYTES_BUCKETS = tuple(float(2**power) for power in range(11, 35, 2))
REQUEST_LATENCY_BUCKETS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)


@dataclass(frozen=True)
class HistogramSnapshot:
    """`counts[i]` values fell in the bucket up to `bounds[i]`; the last of `counts` is above all bounds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """Sum of the observed values."""


class Histogram:
    """Counts values, in seconds or in bytes, into fixed buckets."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a value on a bound belongs to the bucket below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> HistogramSnapshot:
        """Return the counts so far."""
        return HistogramSnapshot(self._bounds, tuple(self._counts), self._total)


@dataclass
class Counters:
    """Running totals of one engine since it was built; the engine is their only writer."""

    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[FinishReason, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    time_to_first_token: Histogram = field(default_factory=lambda: Histogram(TIME_TO_FIRST_TOKEN_BUCKETS))
    inter_token_latency: Histogram = field(default_factory=lambda: Histogram(INTER_TOKEN_LATENCY_BUCKETS))
    request_latency: Histogram = field(default_factory=lambda: Histogram(REQUEST_LATENCY_BUCKETS))
    queue_time: Histogram = field(default_factory=lambda: Histogram(REQUEST_LATENCY_BUCKETS))


@dataclass(frozen=True)
class EngineSnapshot:
    """What a metrics page of one engine says at one moment; counts are totals since the engine was built."""

    running: int
    waiting_for_capacity: int
    waiting_for_adapter: int
    """Requests set aside because `max_loras` other adapters are running."""
    kv_cache_usage: float
    """Share of the blocks in use, 0 to 1; cached blocks that nobody uses count as free."""
    prefix_cache_queries: int
    """Prompt tokens looked up in the prefix cache."""
    prefix_cache_hits: int
    """Prompt tokens found there."""
    preemptions: int
    prompt_tokens: int
    generation_tokens: int
    finished: Mapping[FinishReason, int]
    running_adapters: tuple[str, ...]
    waiting_adapters: tuple[str, ...]
    time_to_first_token: HistogramSnapshot
    inter_token_latency: HistogramSnapshot
    request_latency: HistogramSnapshot
    queue_time: HistogramSnapshot

    @property
    def waiting(self) -> int:
        """Requests that are not running, for whichever reason."""
        return self.waiting_for_capacity + self.waiting_for_adapter


@dataclass(frozen=True)
class TransferSnapshot:
    """The transfers of KV-cache blocks from other engines so far."""

    seconds: HistogramSnapshot
    size: HistogramSnapshot
    """In bytes."""
    failed: int


class TransferCounters:
    """Running totals of the transfers to one engine."""

    def __init__(self) -> None:
        self._seconds = Histogram(TRANSFER_TIME_BUCKETS)
        self._size = Histogram(TRANSFER_BYTES_BUCKETS)
        self._failed = 0

    def transferred(self, size: int, seconds: float) -> None:
        """Count a transfer of so many bytes."""
        self._seconds.observe(seconds)
        self._size.observe(float(size))

    def failed(self) -> None:
        """Count a transfer that did not come about."""
        self._failed += 1

    def snapshot(self) -> TransferSnapshot:
        """Return the counts so far."""
        return TransferSnapshot(self._seconds.snapshot(), self._size.snapshot(), self._failed)
