"""Scores endpoints by how likely they are to meet the request's targets."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.latency.headroom import known_predictions
from turnout.plugins.latency.keys import (
    LATENCY_PREDICTIONS,
    NO_TARGETS,
    SLO_TARGETS,
    LatencyPrediction,
    SloTargets,
    probability_to_meet,
)
from turnout.plugins.latency.normalised import spread_out

Placement: TypeAlias = Literal["spread", "pack"]


class SloScorer:
    """Scores the probability to meet the targets, given the predicted distribution of TTFT and TPOT.

    A time is taken as log-normal with the predicted median and spread, and both as independent, so that the probability
    is the product of two of ``Phi((ln(target) - ln(median)) / spread)``. Without targets the score is the least
    expected time of all endpoints by that of the endpoint, TTFT plus ``tokens`` times TPOT.

    ``placement: spread`` scores the probability, with ``load_weight`` mixed with how empty the endpoint is, which is 1
    less its requests in flight by those of the fullest: of the endpoints that likely meet the targets, the one that is
    needed least goes first, and places are left everywhere for requests that are in a hurry. ``pack`` scores those
    that meet the targets with at least ``sufficient_probability`` by their load, the fullest 1 and the emptiest 0.5,
    and others by their probability below that: so the pool is filled endpoint by endpoint, and the rest is free for
    requests that ask for more, or can be taken out of service.

    The less a prediction is to be relied on (``confidence``), the more its score is drawn towards the mean of all.
    Endpoints without a prediction get the mean, too. ``latency_prediction_info_producer_name`` is the plugin that
    predicts; empty means ``predicted-latency-producer``.

    Raises:
        ValueError: ``load_weight`` is not within [0, 1], ``sufficient_probability`` not within (0, 1), or ``tokens``
            is negative.
    """

    def __init__(
        self,
        placement: Placement = "spread",
        load_weight: float = 0.5,
        sufficient_probability: float = 0.9,
        tokens: int = 100,
        latency_prediction_info_producer_name: str = "",
    ) -> None:
        if not 0.0 <= load_weight <= 1.0:
            raise ValueError(f"load_weight must be within [0, 1], got {load_weight}")
        if not 0.0 < sufficient_probability < 1.0:
            raise ValueError(f"sufficient_probability must be above 0 and below 1, got {sufficient_probability}")
        if tokens < 0:
            raise ValueError(f"tokens must be at least 0, got {tokens}")
        self._packs = placement == "pack"
        self._load_weight = load_weight
        self._sufficient = sufficient_probability
        self._tokens = tokens
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._targets_key = SLO_TARGETS.of(latency_prediction_info_producer_name)
        self.reads = (self._predictions_key, self._targets_key)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        known = known_predictions(state.get(self._predictions_key, {}), endpoints)
        if not known:
            return [1.0] * len(endpoints)
        raw = self._raw(state.get(self._targets_key, NO_TARGETS), known, endpoints)
        mean = sum(raw) / len(raw)
        scores = [mean] * len(endpoints)
        for (place, prediction), score in zip(known, raw, strict=True):
            scores[place] = mean + (score - mean) * prediction.confidence
        return scores

    def _raw(
        self, targets: SloTargets, known: Sequence[tuple[int, LatencyPrediction]], endpoints: Sequence[Endpoint]
    ) -> list[float]:
        if targets == NO_TARGETS:
            times = [each.ttft_seconds + self._tokens * each.tpot_seconds for _, each in known]
            return [min(times) / time if time > 0.0 else 1.0 for time in times]
        likely = [probability_to_meet(each, targets) for _, each in known]
        in_flight = [endpoints[place].in_flight for place, _ in known]
        if self._packs:
            enough = self._sufficient
            return [
                0.5 + 0.5 * load if chance >= enough else 0.5 * chance / enough
                for chance, load in zip(likely, spread_out(in_flight)[0], strict=True)
            ]
        most, weight = max(1, *in_flight), self._load_weight
        return [
            (1.0 - weight) * chance + weight * (1.0 - count / most)
            for chance, count in zip(likely, in_flight, strict=True)
        ]
