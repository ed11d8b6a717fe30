"""Keeps requests where their prompt is cached, until waiting there costs more than computing it elsewhere."""

import random
from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

TTFTSource: TypeAlias = Literal["prefillThroughput", "latencyPredictor"]


class PrefixCacheAffinityFilter:
    """Keeps the endpoints that hold at least ``affinity_threshold`` of the prompt's blocks: the sticky ones.

    Blocks in slower memory count less where the producer of the matches tells them apart.

    All endpoints are kept when none is sticky, when the threshold is not positive, with the probability
    ``exploration_probability``, and when the best TTFT among the sticky endpoints is more than
    ``max_ttft_penalty_ms`` above the best among the others (0 means never). A side without any known TTFT
    keeps all endpoints, too.

    With the source ``prefillThroughput`` an endpoint's TTFT is its tokens in flight divided by
    ``peak_prefill_throughput`` (tokens per second). The penalty is then one knob, tolerated delay times measured
    prefill rate: by default a prompt leaves its cache when the endpoints that hold it have 18 s x 15,928 tokens/s =
    286,704 tokens more in flight than the others. With ``latencyPredictor`` the TTFT is what was predicted.

    What is read comes from the plugins named in ``prefix_match_info_producer_name``,
    ``latency_prediction_info_producer_name`` and ``in_flight_load_producer_name``; empty means
    ``approx-prefix-cache-producer``, ``predicted-latency-producer`` and ``inflight-load-producer``. ``seed`` fixes
    which requests explore.

    Raises:
        ValueError: a number is not finite or out of its range.
    """

    def __init__(
        self,
        affinity_threshold: float = 0.80,
        exploration_probability: float = 0.0,
        max_ttft_penalty_ms: float = 18000.0,
        ttft_source: TTFTSource = "prefillThroughput",
        peak_prefill_throughput: float = 15928.0,
        prefix_match_info_producer_name: str = "",
        latency_prediction_info_producer_name: str = "",
        in_flight_load_producer_name: str = "",
        seed: int | None = None,
    ) -> None:
        _check(affinity_threshold, exploration_probability, max_ttft_penalty_ms, peak_prefill_throughput)
        self._threshold = affinity_threshold
        self._exploration = exploration_probability
        self._max_penalty_seconds = max_ttft_penalty_ms / 1000.0
        self._predicted = ttft_source == "latencyPredictor"
        self._throughput = peak_prefill_throughput
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._load_key = IN_FLIGHT_LOAD.of(in_flight_load_producer_name)
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._random = random.Random(seed)
        source = self._predictions_key if self._predicted else self._load_key
        self.reads = (self._matches_key, source) if affinity_threshold > 0.0 else ()

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        sticky = self._sticky(state, endpoints)
        if not sticky or len(sticky) == len(endpoints) or self._explores():
            return endpoints
        return sticky if self._worth_waiting(state, sticky, endpoints) else endpoints

    def _sticky(self, state: CycleState, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        matches = state.get(self._matches_key)
        if self._threshold <= 0.0 or matches is None or not matches.blocks or not matches.total_blocks:
            return []
        blocks, weights, total, threshold = matches.blocks, matches.weights, matches.total_blocks, self._threshold
        held = {name: count / total * weights.get(name, 1.0) for name, count in blocks.items()}
        return [endpoint for endpoint in endpoints if held.get(endpoint.name, 0.0) >= threshold]

    def _explores(self) -> bool:
        return self._exploration > 0.0 and self._random.random() < self._exploration

    def _worth_waiting(self, state: CycleState, sticky: Sequence[Endpoint], endpoints: Sequence[Endpoint]) -> bool:
        if not self._max_penalty_seconds:
            return True
        names = {endpoint.name for endpoint in sticky}
        here = self._best_ttft(state, names)
        there = self._best_ttft(state, [endpoint.name for endpoint in endpoints if endpoint.name not in names])
        return here is not None and there is not None and here - there <= self._max_penalty_seconds

    def _best_ttft(self, state: CycleState, names: Collection[str]) -> float | None:
        """In seconds; None where nothing is known of any of them."""
        if self._predicted:
            predictions = state.get(self._predictions_key, {})
            return min((predictions[name].ttft_seconds for name in names if name in predictions), default=None)
        load = state.get(self._load_key)
        if load is None:
            return None
        tokens = load.tokens.get
        return min([tokens(name, 0) for name in names]) / self._throughput


def _check(threshold: float, exploration: float, penalty_ms: float, throughput: float) -> None:
    if not threshold <= 1.0:
        raise ValueError(f"affinity_threshold must be at most 1, got {threshold}")
    if not 0.0 <= exploration <= 1.0:
        raise ValueError(f"exploration_probability must be within [0, 1], got {exploration}")
    if not 0.0 <= penalty_ms < float("inf"):
        raise ValueError(f"max_ttft_penalty_ms must be at least 0 and finite, got {penalty_ms}")
    if not 0.0 < throughput < float("inf"):
        raise ValueError(f"peak_prefill_throughput must be positive and finite, got {throughput}")
