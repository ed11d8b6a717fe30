"""How full one endpoint is by what its engine reports."""

from turnout.framework import Endpoint


class LoadGauge:
    """Load is the larger of waiting queue size / ``queue_depth_threshold`` and KV-cache utilization /
    ``kv_cache_util_threshold``: 1 where one of them is reached, and more beyond.

    Raises:
        ValueError: a threshold is not positive, or ``kv_cache_util_threshold`` is above 1.
    """

    __slots__ = ("_cache_threshold", "_queue_threshold")

    def __init__(self, queue_depth_threshold: int, kv_cache_util_threshold: float) -> None:
        if queue_depth_threshold < 1:
            raise ValueError(f"queue_depth_threshold must be at least 1, got {queue_depth_threshold}")
        if not 0.0 < kv_cache_util_threshold <= 1.0:
            raise ValueError(f"kv_cache_util_threshold must be above 0 and at most 1, got {kv_cache_util_threshold}")
        self._queue_threshold = queue_depth_threshold
        self._cache_threshold = kv_cache_util_threshold

    def of(self, endpoint: Endpoint) -> float:
        """The endpoint's load."""
        metrics = endpoint.metrics
        # A KV-cache utilization that is no number compares as the smaller.
        return max(
            metrics.waiting_queue_size / self._queue_threshold, metrics.kv_cache_utilization / self._cache_threshold
        )
