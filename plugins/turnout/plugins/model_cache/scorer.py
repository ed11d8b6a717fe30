"""Prefers endpoints that can begin with the request's model at once, then those that load it soonest."""

from collections.abc import Sequence
from datetime import timedelta

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.model_cache.keys import LOAD_SECONDS

DEFAULT_HALF_SCORE_LOAD = timedelta(seconds=10)


class ModelCacheScorer:
    """Scores ``half / (half + load seconds)``: 1 where the model is loaded, 0.5 where loading takes half_score_load.

    ``model_cache_producer_name`` is the plugin that says how long loading takes; empty means ``model-cache-producer``.

    Raises:
        ValueError: ``half_score_load`` is not positive.
    """

    def __init__(
        self, half_score_load: timedelta = DEFAULT_HALF_SCORE_LOAD, model_cache_producer_name: str = ""
    ) -> None:
        if half_score_load <= timedelta():
            raise ValueError(f"half_score_load must be positive, got {half_score_load}")
        self._half = half_score_load.total_seconds()
        self._key = LOAD_SECONDS.of(model_cache_producer_name)
        self.reads = (self._key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        # A producer that failed costs its data, not the request.
        loads = state.get(self._key)
        if not loads:
            return [1.0] * len(endpoints)
        half, seconds_of = self._half, loads.get
        return [half / (half + seconds_of(endpoint.name, 0.0)) for endpoint in endpoints]
