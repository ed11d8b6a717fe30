"""Refuses sheddable requests whose targets no endpoint is expected to meet."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Refusal, RefusalKind
from turnout.plugins.latency.headroom import headrooms
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS

COLD_UTILIZATION = 0.02
REFUSED = Refusal(
    RefusalKind.RESOURCE_EXHAUSTED,
    "no valid endpoint available to serve the request",
    "rejected-saturated",
    retry_after_seconds=1.0,
)


class LatencySloAdmitter:
    """Refuses a request of negative priority with a target of its own if no endpoint is expected to meet it.

    It passes if nothing is predicted, if an endpoint runs no request, or if one has less than 2 % of its KV cache in
    use: a cold endpoint is predicted badly, and idle ones should not stay so.
    ``latency_prediction_info_producer_name`` is the plugin that predicts; empty means ``predicted-latency-producer``.
    """

    def __init__(self, latency_prediction_info_producer_name: str = "") -> None:
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._targets_key = SLO_TARGETS.of(latency_prediction_info_producer_name)
        self.reads = (self._predictions_key, self._targets_key)

    def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
        if request.priority >= 0 or (request.ttft_target is None and request.tpot_target is None):
            return None
        found = headrooms(state, endpoints, self._predictions_key, self._targets_key)
        if not any(found) or any(room is not None and room.meets for room in found):
            return None
        return None if any(_is_idle_or_cold(endpoint) for endpoint in endpoints) else REFUSED


def _is_idle_or_cold(endpoint: Endpoint) -> bool:
    metrics = endpoint.metrics
    idle = metrics.running_requests == 0 and endpoint.in_flight == 0
    return idle or metrics.kv_cache_utilization < COLD_UTILIZATION
