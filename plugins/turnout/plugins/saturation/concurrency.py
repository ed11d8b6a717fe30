"""Tells how full the pool is by what was dispatched to it and has not ended."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from turnout.framework import CycleState, Endpoint, InferenceRequest, SchedulingResult, StateKey
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, InFlightLoad
from turnout.plugins.saturation.headroom import filter_limit

NOTHING_IN_FLIGHT = InFlightLoad({}, {})


class ConcurrencyDetector:
    """Saturation is what is in flight, divided by what may be: ``max_concurrency`` requests for each endpoint (mode
    ``requests``) or ``max_token_concurrency`` tokens (``tokens``). With ``hybrid`` it is the mean over the endpoints of
    the larger of both ratios.

    As a filter it removes endpoints that have ``1 + headroom`` times as much in flight as they may, even if none is
    left.

    Requests are counted by the Endpoint Picker itself. Tokens are those of the producer named
    ``in_flight_load_producer_name`` (empty means ``inflight-load-producer``), which counts live; its counts are found
    with the first dispatch, and before that nothing is in flight.

    Raises:
        ValueError: a maximum is not positive, or ``headroom`` is negative or not finite.
    """

    # What has ended is not in flight any more; the field grants its detector of this kind 10 ms.
    feedback_seconds = 0.01

    def __init__(
        self,
        max_concurrency: int = 100,
        max_token_concurrency: int = 1_000_000,
        concurrency_mode: Literal["requests", "tokens", "hybrid"] = "requests",
        headroom: float = 0.0,
        in_flight_load_producer_name: str = "",
    ) -> None:
        for parameter, value in (
            ("max_concurrency", max_concurrency),
            ("max_token_concurrency", max_token_concurrency),
        ):
            if value < 1:
                raise ValueError(f"{parameter} must be at least 1, got {value}")
        self._max_requests = max_concurrency
        self._max_tokens = max_token_concurrency
        self._mode = concurrency_mode
        self._limit = filter_limit(headroom)
        self._load_key = IN_FLIGHT_LOAD.of(in_flight_load_producer_name)
        self.reads: tuple[StateKey[InFlightLoad], ...] = () if concurrency_mode == "requests" else (self._load_key,)
        self._load = NOTHING_IN_FLIGHT

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        if not endpoints:
            return 1.0
        tokens = self._load.tokens
        if self._mode == "hybrid":
            return fmean(self._ratio(endpoint, tokens) for endpoint in endpoints)
        if self._mode == "tokens":
            return sum(tokens.get(endpoint.name, 0) for endpoint in endpoints) / (self._max_tokens * len(endpoints))
        return sum(endpoint.in_flight for endpoint in endpoints) / (self._max_requests * len(endpoints))

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that have room; there may be none."""
        tokens = state.get(self._load_key, self._load).tokens
        return [endpoint for endpoint in endpoints if self._ratio(endpoint, tokens) < self._limit]

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Finds the producer's counts. They are looked for at every dispatch, because a reload may replace it."""
        self._load = state.get(self._load_key, self._load)

    def _ratio(self, endpoint: Endpoint, tokens: Mapping[str, int]) -> float:
        requests_ratio = endpoint.in_flight / self._max_requests
        if self._mode == "requests":
            return requests_ratio
        tokens_ratio = tokens.get(endpoint.name, 0) / self._max_tokens
        return tokens_ratio if self._mode == "tokens" else max(requests_ratio, tokens_ratio)
