"""Prefers endpoints whose KV cache has room."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores


class KVCacheUtilizationScorer:
    """Scores the free fraction of the KV cache: an empty cache 1, a full one 0."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return [1.0 - endpoint.metrics.kv_cache_utilization for endpoint in endpoints]
