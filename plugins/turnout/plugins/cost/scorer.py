"""Prefers the cheapest endpoint that keeps what was promised."""

import math
from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.cost.keys import EXPECTED_COSTS, ExpectedCosts
from turnout.plugins.latency.keys import (
    LATENCY_PREDICTIONS,
    NO_TARGETS,
    SLO_TARGETS,
    LatencyPrediction,
    LatencyPredictions,
    SloTargets,
    targets_left,
)

NO_COSTS = ExpectedCosts("", {})
NO_PREDICTIONS: LatencyPredictions = {}

LEAST_IF_MET = 0.5
MOST_IF_MISSED = 0.25
"""The scores of the dearest endpoint that meets the targets, and of the one that misses them least."""

LEAST_TARGET = 1e-6
"""Seconds that a target counts as if less of it is left, or nothing: then the fastest misses it least."""


class CostScorer:
    """Scores the cheapest endpoint 1 and the dearest 0, in proportion to the cost between them.

    That holds where every endpoint is predicted to meet the request's targets, or nothing is predicted, or there are no
    targets. An endpoint meets them if its predicted TTFT and TPOT, plus ``ttft_headroom_ms`` and ``tpot_headroom_ms``,
    are not above what is left of them; one without a prediction is taken to. Where some meet them and others do not,
    those that do have 1 for the cheapest of them to 0.5 for the dearest, and the others 0.25 for the one that misses
    least to 0 for the one that misses most, by the larger of time / target. Where none does, they have 1 to 0 in the
    same way: the one that misses least is the best that there is.

    An endpoint without a known cost counts as the dearest.

    Raises:
        ValueError: a headroom is negative or not finite.
    """

    def __init__(
        self,
        ttft_headroom_ms: float = 0.0,
        tpot_headroom_ms: float = 0.0,
        expected_cost_producer_name: str = "",
        predicted_latency_producer_name: str = "",
    ) -> None:
        for parameter, value in {"ttft_headroom_ms": ttft_headroom_ms, "tpot_headroom_ms": tpot_headroom_ms}.items():
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{parameter} must be at least 0 and finite, got {value}")
        self._ttft_headroom = ttft_headroom_ms / 1000.0
        self._tpot_headroom = tpot_headroom_ms / 1000.0
        self._costs_key = EXPECTED_COSTS.of(expected_cost_producer_name)
        self._predictions_key = LATENCY_PREDICTIONS.of(predicted_latency_producer_name)
        self.reads = (self._costs_key,)
        self._targets_key = SLO_TARGETS.of(predicted_latency_producer_name)
        self.optional_reads = (self._predictions_key, self._targets_key)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        costs = state.get(self._costs_key, NO_COSTS).costs
        over = self._overshoots(request, state, endpoints)
        met = [ratio <= 1.0 for ratio in over]
        if not any(met):
            return _falling(over, over)
        known = [costs.get(endpoint.name, math.inf) for endpoint in endpoints]
        by_cost = _falling(known, [cost for cost, meets in zip(known, met, strict=True) if meets])
        if all(met):
            return by_cost
        by_miss = _falling(over, [ratio for ratio, meets in zip(over, met, strict=True) if not meets])
        return [
            LEAST_IF_MET + (1.0 - LEAST_IF_MET) * cheapness if meets else MOST_IF_MISSED * nearness
            for meets, cheapness, nearness in zip(met, by_cost, by_miss, strict=True)
        ]

    def _overshoots(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> list[float]:
        predictions = state.get(self._predictions_key, NO_PREDICTIONS)
        targets = targets_left(request, state, self._targets_key)
        if not predictions or targets == NO_TARGETS:
            return [0.0] * len(endpoints)
        first, each = self._ttft_headroom, self._tpot_headroom
        return [
            overshoot(targets, prediction, first, each) if (prediction := predictions.get(endpoint.name)) else 0.0
            for endpoint in endpoints
        ]


def overshoot(targets: SloTargets, prediction: LatencyPrediction, ttft_headroom: float, tpot_headroom: float) -> float:
    """The larger of the predicted times with their headroom by their targets: at most 1 meets both; 0 without any."""
    first = _ratio(targets.ttft_seconds, prediction.ttft_seconds + ttft_headroom)
    return max(first, _ratio(targets.tpot_seconds, prediction.tpot_seconds + tpot_headroom))


def _ratio(target: float | None, seconds: float) -> float:
    return 0.0 if target is None else seconds / max(LEAST_TARGET, target)


def _falling(values: Sequence[float], among: Sequence[float]) -> list[float]:
    """1 for the least of ``among`` to 0 for the largest, linearly; infinite ones are as large as the largest finite."""
    finite = [value for value in among if value < math.inf]
    if not finite:
        return [1.0] * len(values)
    least, largest = min(finite), max(finite)
    span = largest - least
    if not span:
        # All are the same, but for those of which nothing is known.
        return [1.0 if value <= least else 0.0 for value in values]
    return [min(1.0, max(0.0, (largest - value) / span)) for value in values]
