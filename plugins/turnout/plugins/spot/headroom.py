"""Whether an endpoint has the room that a request needs there, by its load and by its predicted times."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnout.framework import CycleState, Endpoint, InferenceRequest, StateKey
from turnout.plugins.latency.keys import (
    LATENCY_PREDICTIONS,
    SLO_TARGETS,
    LatencyPredictions,
    SloTargets,
    targets_left,
)


@dataclass(frozen=True, slots=True)
class Headroom:
    """What an endpoint must have left. None asks for nothing.

    ``max_waiting_requests`` and ``max_kv_cache_utilization`` are what its engine may have. ``min_ttft_headroom_ms`` and
    ``min_tpot_headroom_ms`` are how far its predicted time must be below the request's target, for requests that have
    one, less what it has waited; where there is no prediction, there is no headroom.

    Raises:
        ValueError: a bound is outside its range.
    """

    max_waiting_requests: int | None = None
    max_kv_cache_utilization: float | None = None
    min_ttft_headroom_ms: float | None = None
    min_tpot_headroom_ms: float | None = None
    latency_producer_name: str = ""

    def __post_init__(self) -> None:
        if self.max_waiting_requests is not None and self.max_waiting_requests < 0:
            raise ValueError(f"max_waiting_requests must be at least 0, got {self.max_waiting_requests}")
        if self.max_kv_cache_utilization is not None and not 0.0 <= self.max_kv_cache_utilization <= 1.0:
            raise ValueError(f"max_kv_cache_utilization must be from 0 to 1, got {self.max_kv_cache_utilization}")
        for name in ("min_ttft_headroom_ms", "min_tpot_headroom_ms"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")

    @property
    def asks(self) -> bool:
        """Whether anything has to be left."""
        load = self.max_waiting_requests is not None or self.max_kv_cache_utilization is not None
        return load or self.predicts

    @property
    def keys(self) -> Sequence[StateKey[LatencyPredictions] | StateKey[SloTargets]]:
        """What is read of a request."""
        name = self.latency_producer_name
        return (LATENCY_PREDICTIONS.of(name), SLO_TARGETS.of(name)) if self.predicts else ()

    @property
    def predicts(self) -> bool:
        """Whether predictions are looked at."""
        return self.min_ttft_headroom_ms is not None or self.min_tpot_headroom_ms is not None

    def is_there(self, request: InferenceRequest, state: CycleState, endpoint: Endpoint) -> bool:
        """Whether the endpoint has all of it."""
        metrics = endpoint.metrics
        if self.max_waiting_requests is not None and metrics.waiting_queue_size > self.max_waiting_requests:
            return False
        if self.max_kv_cache_utilization is not None and metrics.kv_cache_utilization > self.max_kv_cache_utilization:
            return False
        return not self.predicts or self._is_fast_enough(request, state, endpoint)

    def _is_fast_enough(self, request: InferenceRequest, state: CycleState, endpoint: Endpoint) -> bool:
        name = self.latency_producer_name
        predicted = (state.get(LATENCY_PREDICTIONS.of(name)) or {}).get(endpoint.name)
        targets = targets_left(request, state, SLO_TARGETS.of(name))
        ttft, tpot = (None, None) if predicted is None else predicted[:2]
        return _below(targets.ttft_seconds, self.min_ttft_headroom_ms, ttft) and _below(
            targets.tpot_seconds, self.min_tpot_headroom_ms, tpot
        )


def _below(target: float | None, headroom_ms: float | None, predicted: float | None) -> bool:
    if target is None or headroom_ms is None:
        return True
    return predicted is not None and predicted <= target - headroom_ms / 1000.0
