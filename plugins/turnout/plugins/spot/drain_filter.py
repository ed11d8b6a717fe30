"""Sends nothing to endpoints that are about to be taken away."""

from collections.abc import Iterable, Mapping, Sequence

from turnout.framework import (
    CounterReading,
    CycleState,
    Diagnosis,
    Endpoint,
    Figure,
    Finding,
    GaugeReading,
    InferenceRequest,
    Reading,
    WallClock,
)
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.spot.notices import DRAIN_LABEL, drain_at, is_readable

LEAST_CONFIDENCE = 0.5
"""A prediction whose like were wrong lately makes nobody sure."""


class DrainFilter:
    """Leaves out endpoints with a drain notice, unless the request is sure to have ended before.

    The notice is the label ``drain_label``: when the endpoint drains, as RFC 3339 has it or in seconds since 1970. From
    then on no request goes there. Before, one goes only if its predicted TTFT and the TPOT of its output tokens
    (``expected_output_tokens``, or what it allows if that is less), times ``safety_factor``, end in time. Without a
    prediction by ``latency_producer_name`` (empty means ``predicted-latency-producer``) to rely on, or without
    ``allow_short_requests``, none does. A notice that cannot be read holds at once.

    Where every candidate drains, nothing is left, and the request is refused.

    Raises:
        ValueError: the label is empty, the factor is below 1, or the tokens are below 1.
    """

    def __init__(
        self,
        clock: WallClock,
        drain_label: str = DRAIN_LABEL,
        allow_short_requests: bool = True,
        safety_factor: float = 2.0,
        expected_output_tokens: int = 512,
        latency_producer_name: str = "",
    ) -> None:
        if not drain_label:
            raise ValueError(f"drain_label must not be empty, got {drain_label!r}")
        if not 1.0 <= safety_factor < float("inf"):
            raise ValueError(f"safety_factor must be at least 1 and finite, got {safety_factor}")
        if expected_output_tokens < 1:
            raise ValueError(f"expected_output_tokens must be at least 1, got {expected_output_tokens}")
        self._clock = clock
        self._label = drain_label
        self._factor = safety_factor
        self._output_tokens = expected_output_tokens
        self._predictions = LATENCY_PREDICTIONS.of(latency_producer_name)
        self._allows_short = allow_short_requests
        self.optional_reads = (self._predictions,) if allow_short_requests else ()
        self._kept_away = 0
        self._draining = 0

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that will be there until the request ends."""
        label = self._label
        if not any(label in endpoint.labels for endpoint in endpoints):
            return endpoints
        kept = [endpoint for endpoint in endpoints if self._lasts(request, state, endpoint)]
        self._kept_away += len(kept) < len(endpoints)
        return kept

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Counts the endpoints with a notice."""
        self._draining = sum(self._label in endpoint.labels for endpoint in endpoints)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """The endpoints with a notice, and the notices that cannot be read."""
        figures: dict[str, Mapping[str, Figure]] = {}
        findings = []
        for endpoint in endpoints:
            stated = endpoint.labels.get(self._label)
            if stated is None:
                continue
            left = (drain_at(stated) or 0.0) - self._clock.unix(now)
            figures[endpoint.name] = {"drains_in_seconds": max(0.0, left)}
            if not is_readable(stated):
                message = f"the label {self._label} is no time; write RFC 3339 or seconds since 1970. It drains at once"
                findings.append(Finding("unreadable-notice", message, endpoint.name))
        return Diagnosis(findings, figures)

    def readings(self) -> Iterable[Reading]:
        """Endpoints with a notice, and requests that were kept away from some."""
        yield GaugeReading("drain_notices", "Endpoints with a drain notice.", self._draining)
        help_text = "Requests that were kept away from at least one endpoint because of its drain notice."
        yield CounterReading("drain_kept_away_total", help_text, self._kept_away)

    def _lasts(self, request: InferenceRequest, state: CycleState, endpoint: Endpoint) -> bool:
        end = drain_at(endpoint.labels.get(self._label))
        if end is None:
            return True
        left = end - self._clock.unix(state.now)
        if left <= 0.0 or not self._allows_short:
            return False
        prediction = (state.get(self._predictions) or {}).get(endpoint.name)
        if prediction is None or prediction.confidence < LEAST_CONFIDENCE:
            return False
        return self._seconds(request, prediction) < left

    def _seconds(self, request: InferenceRequest, prediction: LatencyPrediction) -> float:
        tokens = request.output_tokens(self._output_tokens)
        return self._factor * (prediction.ttft_seconds + prediction.tpot_seconds * tokens)
