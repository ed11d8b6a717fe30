"""Prefers endpoints that have the request's LoRA adapter loaded, then those with room to load it."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, EndpointMetrics, InferenceRequest, Scores

ACTIVE = 1.0
HAS_ROOM = 0.8
WAITING = 0.6
NEITHER = 0.0


class LoraAffinityScorer:
    """Scores 1 where the target model is an active adapter, 0.8 where one more fits, 0.6 where it waits, else 0."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        adapter = request.target_model
        return [_tier(adapter, endpoint.metrics) for endpoint in endpoints]


def _tier(adapter: str, metrics: EndpointMetrics) -> float:
    active, waiting = metrics.active_adapters, metrics.waiting_adapters
    if adapter in active:
        return ACTIVE
    # vLLM names each adapter in both lists (vllm#54830), so an adapter takes one place however often it is named.
    if len(active | waiting) < metrics.max_active_adapters:
        return HAS_ROOM
    return WAITING if adapter in waiting else NEITHER
