"""How likely an endpoint meets the targets of a request, by its predicted times."""

import math
from statistics import NormalDist

from turnout.framework import InferenceRequest
from turnout.plugins.latency.keys import LatencyPrediction

_STANDARD = NormalDist()


def probability_to_meet(request: InferenceRequest, prediction: LatencyPrediction) -> float:
    """From 0 to 1; 1 without targets.

    Times are lognormal with the predicted median and spread, and TTFT and TPOT independent of each other, which is the
    cautious assumption: a slow endpoint is slow in both.
    """
    first = _within(request.ttft_target, prediction.ttft_seconds, prediction.ttft_spread)
    return first * _within(request.tpot_target, prediction.tpot_seconds, prediction.tpot_spread)


def overshoot(
    request: InferenceRequest, prediction: LatencyPrediction, ttft_headroom: float, tpot_headroom: float
) -> float:
    """The larger of the predicted times with their headroom by their targets: at most 1 meets both; 0 without any."""
    first = _ratio(request.ttft_target, prediction.ttft_seconds + ttft_headroom)
    return max(first, _ratio(request.tpot_target, prediction.tpot_seconds + tpot_headroom))


def _within(target: float | None, median: float, spread: float) -> float:
    if target is None or median <= 0.0:
        return 1.0
    if not 0.0 < spread < math.inf or not median < math.inf:
        return 1.0 if median <= target else 0.0
    return _STANDARD.cdf(math.log(target / median) / spread)


def _ratio(target: float | None, seconds: float) -> float:
    return 0.0 if target is None else seconds / target
