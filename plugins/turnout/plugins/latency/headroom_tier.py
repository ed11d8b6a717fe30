"""Keeps the endpoints that are expected to meet the request's targets."""

import random
from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest
from turnout.plugins.latency.headroom import headrooms
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS


class SloHeadroomTierFilter:
    """Keeps the endpoints whose predicted TTFT and TPOT are within the targets; with a small chance the others.

    Endpoints without a prediction are among the others, which are kept with the chance ``epsilon_explore_neg`` so that
    their predictions get to know them. Where one of both groups is empty, or nothing is predicted at all, all are kept.
    ``latency_prediction_info_producer_name`` is the plugin that predicts; empty means ``predicted-latency-producer``.
    ``seed`` fixes which requests explore.

    Raises:
        ValueError: ``epsilon_explore_neg`` is not within [0, 1].
    """

    def __init__(
        self,
        epsilon_explore_neg: float = 0.01,
        latency_prediction_info_producer_name: str = "",
        seed: int | None = None,
    ) -> None:
        if not 0.0 <= epsilon_explore_neg <= 1.0:
            raise ValueError(f"epsilon_explore_neg must be within [0, 1], got {epsilon_explore_neg}")
        self._epsilon = epsilon_explore_neg
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._targets_key = SLO_TARGETS.of(latency_prediction_info_producer_name)
        self._random = random.Random(seed)
        self.reads = (self._predictions_key, self._targets_key)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        found = headrooms(state, endpoints, self._predictions_key, self._targets_key)
        meeting: list[Endpoint] = []
        others: list[Endpoint] = []
        for endpoint, room in zip(endpoints, found, strict=True):
            (meeting if room is not None and room.meets else others).append(endpoint)
        if not meeting or not others:
            return endpoints
        return others if self._epsilon > 0.0 and self._random.random() < self._epsilon else meeting
