"""What producers of latency predictions publish about a request."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from turnout.framework import KeyFamily

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


LATENCY_PREDICTIONS: KeyFamily[LatencyPredictions] = KeyFamily("latency-predictions", DEFAULT_PRODUCER)
SLO_TARGETS: KeyFamily[SloTargets] = KeyFamily("slo-targets", DEFAULT_PRODUCER)
