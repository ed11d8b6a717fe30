"""What producers of latency predictions publish about a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "predicted-latency-producer"


@dataclass(frozen=True, slots=True)
class LatencyPrediction:
    """What one request may expect of one endpoint: TTFT and TPOT, in seconds."""

    ttft_seconds: float
    tpot_seconds: float


LatencyPredictions: TypeAlias = Mapping[str, LatencyPrediction]
"""Predictions by endpoint name; an endpoint without an entry has none."""

LATENCY_PREDICTIONS: KeyFamily[LatencyPredictions] = KeyFamily("latency-predictions", DEFAULT_PRODUCER)
