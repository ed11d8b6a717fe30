"""Prefer endpoints to which little was dispatched that has not ended."""

from collections.abc import Sequence
from datetime import timedelta

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, UNCACHED_REQUEST_TOKENS, UncachedRequestTokens


class ActiveRequestScorer:
    """Scores endpoints with at most ``idle_threshold`` requests in flight 1; the busiest of the others 0.

    In between an endpoint scores (most - its requests) / most * ``max_busy_score``.
    ``in_flight_load_producer_name`` is the plugin whose counts are read; empty means ``inflight-load-producer``.
    ``request_timeout`` is accepted and has no effect: every request is released at its end.

    Raises:
        ValueError: ``idle_threshold`` is negative, or ``max_busy_score`` is not within [0, 1].
    """

    def __init__(
        self,
        request_timeout: timedelta | None = None,
        idle_threshold: int = 0,
        max_busy_score: float = 1.0,
        in_flight_load_producer_name: str = "",
    ) -> None:
        if idle_threshold < 0:
            raise ValueError(f"idle_threshold must be at least 0, got {idle_threshold}")
        if not 0.0 <= max_busy_score <= 1.0:
            raise ValueError(f"max_busy_score must be within [0, 1], got {max_busy_score}")
        self._idle = idle_threshold
        self._max_busy_score = max_busy_score
        self._load_key = IN_FLIGHT_LOAD.of(in_flight_load_producer_name)
        self.reads = (self._load_key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        # A producer that failed costs its data, not the request.
        load = state.get(self._load_key)
        if load is None:
            return [1.0] * len(endpoints)
        counts = [load.requests.get(endpoint.name, 0) for endpoint in endpoints]
        idle, most, top = self._idle, max(counts), self._max_busy_score
        return [1.0 if count <= idle else (most - count) / most * top for count in counts]


class TokenLoadScorer:
    """Scores 1 for no tokens in flight, falling to 0 at ``queue_threshold_tokens``.

    The tokens are those in flight at the endpoint and those of this request that it would have to compute.
    ``in_flight_load_producer_name`` is the plugin whose counts are read; empty means ``inflight-load-producer``.

    Raises:
        ValueError: ``queue_threshold_tokens`` is below 1.
    """

    def __init__(self, queue_threshold_tokens: int = 4194304, in_flight_load_producer_name: str = "") -> None:
        if queue_threshold_tokens < 1:
            raise ValueError(f"queue_threshold_tokens must be at least 1, got {queue_threshold_tokens}")
        self._threshold = queue_threshold_tokens
        self._load_key = IN_FLIGHT_LOAD.of(in_flight_load_producer_name)
        self._uncached_key = UNCACHED_REQUEST_TOKENS.of(in_flight_load_producer_name)
        self.reads = (self._load_key, self._uncached_key)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        # A producer that failed costs its data, not the request.
        load = state.get(self._load_key)
        if load is None:
            return [1.0] * len(endpoints)
        uncached = state.get(self._uncached_key, UncachedRequestTokens(0))
        threshold = self._threshold
        tokens = [load.tokens.get(endpoint.name, 0) + uncached.at(endpoint.name) for endpoint in endpoints]
        return [1.0 - min(count, threshold) / threshold for count in tokens]
