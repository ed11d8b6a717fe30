"""What producers of latency predictions publish about a request, and what follows from it alone."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

from turnout.framework import CycleState, InferenceRequest, KeyFamily, StateKey

DEFAULT_PRODUCER = "predicted-latency-producer"


class LatencyPrediction(NamedTuple):
    """What one request may expect of one endpoint, from the moment at which it is sent there. Times are in seconds.

    The times are medians. A spread is the standard deviation of the natural logarithm of a time, so that about two
    thirds of the times are within a factor of ``exp(spread)``; 0 where nothing is known of it. ``busy_seconds`` is how
    much of the endpoint's time the request takes from others: what it costs to compute, without its waiting.
    ``confidence`` is 1 for a prediction to rely on and 0 for one whose like were useless lately.
    """

    ttft_seconds: float
    tpot_seconds: float
    ttft_spread: float = 0.0
    tpot_spread: float = 0.0
    busy_seconds: float = 0.0
    confidence: float = 1.0


LatencyPredictions: TypeAlias = Mapping[str, LatencyPrediction]
"""Predictions by endpoint name; an endpoint without an entry has none."""


class SloTargets(NamedTuple):
    """What is left of a request's targets, in seconds; None without a target.

    The TTFT target is counted from the moment of the prediction, so what the request has waited is taken off. Both are
    multiplied by the producer's ``sloBufferFactor``. The headroom of an endpoint is a target less what is predicted.
    """

    ttft_seconds: float | None = None
    tpot_seconds: float | None = None


NO_TARGETS = SloTargets()

LATENCY_PREDICTIONS: KeyFamily[LatencyPredictions] = KeyFamily("latency-predictions", DEFAULT_PRODUCER)
SLO_TARGETS: KeyFamily[SloTargets] = KeyFamily("slo-targets", DEFAULT_PRODUCER)

_STANDARD = NormalDist()


def targets_left(request: InferenceRequest, state: CycleState, key: StateKey[SloTargets]) -> SloTargets:
    """What is left of the request's targets as their producer says; without its word, what was asked for."""
    return state.get(key) or SloTargets(request.ttft_target, request.tpot_target)


def probability_to_meet(prediction: LatencyPrediction, targets: SloTargets) -> float:
    """How likely both targets are met, from 0 to 1; 1 without any.

    Times are log-normal with the predicted median and spread, ``Phi((ln(target) - ln(median)) / spread)``, and TTFT and
    TPOT independent of each other, which is the cautious assumption: a slow endpoint is slow in both.
    """
    first = _within(targets.ttft_seconds, prediction.ttft_seconds, prediction.ttft_spread)
    return first * _within(targets.tpot_seconds, prediction.tpot_seconds, prediction.tpot_spread)


def _within(target: float | None, median: float, spread: float) -> float:
    if target is None:
        return 1.0
    if target <= 0.0:
        return 0.0
    if median <= 0.0:
        return 1.0
    if not 0.0 < spread < math.inf or not median < math.inf:
        return 1.0 if median <= target else 0.0
    return _STANDARD.cdf((math.log(target) - math.log(median)) / spread)
