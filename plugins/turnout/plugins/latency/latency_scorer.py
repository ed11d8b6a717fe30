"""Scores endpoints by the headroom of their predicted latencies below the request's targets."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.latency.headroom import Headroom, headroom, known_predictions
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, NO_TARGETS, SLO_TARGETS
from turnout.plugins.latency.normalised import spread_out
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

Selection: TypeAlias = Literal["least", "most"]

STEPS = 100
"""Scores are whole hundredths from the lowest of the field's weights, 1, to the highest."""


class LatencyScorer:
    """Scores the endpoint whose headroom is best 1, as far as ``headroom_selection_strategy`` says what is best.

    ``least`` packs: the endpoint that just meets the targets is best, so that others stay free for requests that ask
    for more. ``most`` spreads. Endpoints expected to miss a target get 0 while others meet both; if none does, only the
    first of these groups that has any is scored, by the least excess: those with nothing in flight, those that miss
    only TPOT, those that miss only TTFT, those that miss both.

    Within a group each of both times is normalised to [0, 1] from the smallest to the largest headroom; a time in which
    all are alike counts 0.5, or not at all if they differ in the other. They are weighed by ``ttft_weight`` and
    ``tpot_weight``. Endpoints without a prediction get 0; where nothing is predicted at all, the score is the weighted
    mean of what is free of the KV cache, the shortness of the queue within the pool and the share of the prompt that is
    cached (``composite_kv_weight``, ``composite_queue_weight``, ``composite_prefix_weight``).

    Without targets headroom is what is predicted, negative: then the fastest is best with either strategy. A
    prediction that is not to be relied on (``confidence``) draws its score towards the middle.

    Raises:
        ValueError: a weight is negative, or all of one kind are 0.
    """

    def __init__(
        self,
        ttft_weight: float = 0.8,
        tpot_weight: float = 0.2,
        headroom_selection_strategy: Selection = "least",
        composite_kv_weight: float = 1.0,
        composite_queue_weight: float = 1.0,
        composite_prefix_weight: float = 1.0,
        latency_prediction_info_producer_name: str = "",
        prefix_match_info_producer_name: str = "",
    ) -> None:
        self._weights = _normalised("ttft_weight and tpot_weight", ttft_weight, tpot_weight)
        self._packs = headroom_selection_strategy == "least"
        self._composite = _normalised(
            "the composite weights", composite_kv_weight, composite_queue_weight, composite_prefix_weight
        )
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._targets_key = SLO_TARGETS.of(latency_prediction_info_producer_name)
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self.reads = (self._predictions_key, self._targets_key)
        self.optional_reads = (self._matches_key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        known = known_predictions(state.get(self._predictions_key, {}), endpoints)
        if not known:
            return self._without_predictions(state, endpoints)
        targets = state.get(self._targets_key, NO_TARGETS)
        if targets == NO_TARGETS:
            rooms = {place: Headroom(-each.ttft_seconds, -each.tpot_seconds) for place, each in known}
            group, packs = list(rooms), True
        else:
            rooms = {place: headroom(each, targets) for place, each in known}
            group = _group(rooms, endpoints)
            packs = self._packs or not rooms[group[0]].meets
        within = dict(zip(group, self._within([rooms[place] for place in group], packs=packs), strict=True))
        scores = [0.0] * len(endpoints)
        for place, prediction in known:
            if place in within:
                scores[place] = 0.5 + (within[place] - 0.5) * prediction.confidence
        return scores

    def _within(self, rooms: Sequence[Headroom], *, packs: bool) -> list[float]:
        ttft, ttft_differ = spread_out([abs(room.ttft) for room in rooms])
        tpot, tpot_differ = spread_out([abs(room.tpot) for room in rooms])
        alpha, beta = self._weights
        if ttft_differ != tpot_differ:
            alpha, beta = (1.0, 0.0) if ttft_differ else (0.0, 1.0)
        combined = [alpha * first + beta * second for first, second in zip(ttft, tpot, strict=True)]
        return [_stepped(1.0 - value if packs else value) for value in combined]

    def _without_predictions(self, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        kv, queue, prefix = self._composite
        depths = [endpoint.metrics.waiting_queue_size for endpoint in endpoints]
        shortest, longest = min(depths), max(depths)
        matches = state.get(self._matches_key)
        scores = []
        for endpoint, depth in zip(endpoints, depths, strict=True):
            shortness = (longest - depth) / (longest - shortest) if longest > shortest else 1.0
            cached = 0.0
            if matches is not None and matches.total_blocks:
                cached = min(1.0, matches.blocks.get(endpoint.name, 0) / matches.total_blocks)
            free = min(1.0, max(0.0, 1.0 - endpoint.metrics.kv_cache_utilization))
            scores.append(min(1.0, kv * free + queue * shortness + prefix * cached))
        return scores


def _group(rooms: Mapping[int, Headroom], endpoints: Sequence[Endpoint]) -> list[int]:
    """The places of the endpoints that are scored: the first of the groups that has any."""
    groups = (
        [place for place, room in rooms.items() if room.meets],
        [place for place in rooms if endpoints[place].in_flight == 0],
        [place for place, room in rooms.items() if room.ttft >= 0.0],
        [place for place, room in rooms.items() if room.tpot >= 0.0],
    )
    return next((group for group in groups if group), list(rooms))


def _stepped(value: float) -> float:
    """In the field's whole weights, from 1 to 100, over the largest."""
    return (int(value * (STEPS - 1)) + 1) / STEPS


def _normalised(what: str, *weights: float) -> tuple[float, ...]:
    if any(not 0.0 <= weight < float("inf") for weight in weights) or not sum(weights) > 0.0:
        given = ", ".join(f"{weight:g}" for weight in weights)
        raise ValueError(f"{what} must be at least 0 and finite, and not all 0, got {given}")
    return tuple(weight / sum(weights) for weight in weights)
