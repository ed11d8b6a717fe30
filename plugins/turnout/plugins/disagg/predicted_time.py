"""Decide by the predicted time to the first token whether another endpoint computes the prompt."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Literal, TypeAlias

from turnout.framework import (
    PROMPT,
    CounterReading,
    CycleState,
    Endpoint,
    InferenceRequest,
    PluginName,
    Prompt,
    Quantity,
    Reading,
    SchedulingResult,
)
from turnout.plugins.disagg.keys import DISAGG_DECISION, KV_TRANSFER_SECONDS, Decision, ReasonedDecision
from turnout.plugins.disagg.roles import PREFILL_ROLES, ROLE_LABEL
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPredictions
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES
from turnout.plugins.topology.keys import KV_BYTES_PER_TOKEN, NO_MODELS, TOPOLOGY, KvTransfer, Topology

PREDICTED_TIME = PluginName("predicted-time-pd-decider")

Split: TypeAlias = Literal["prefill-decode", "decode-only"]

ASSUMED_BANDWIDTH = Quantity(10_000_000_000)
"""Bytes per second that a network of 100 Gbit/s brings through, roughly."""

NO_GAIN = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Times:
    """Predicted seconds to the first token; ``apart`` is infinite where nobody else computes prompts.

    None is what is not predicted.
    """

    alone: float | None
    apart: float | None

    @property
    def gain(self) -> float | None:
        """Seconds that are saved apart; below 0 if they are lost."""
        return None if self.alone is None or self.apart is None else self.alone - self.apart


class PredictedTimePdDecider:
    """Yes, where the first token is predicted to come at least ``min_gain`` earlier if another endpoint prefills.

    Without, it takes the TTFT that is predicted at the endpoint that decodes. With, it takes the least of all endpoints
    with a role that prefills: the TTFT predicted there, the transfer of the KV cache from there, and one step of the
    engine that decodes (its predicted TPOT), which computes the last token of the prompt. What is transferred is what
    is not believed to be cached where it is decoded: ``bytes_per_token``, or those of the target model in
    ``bytes_per_token_by_model``, for each token, over the way that ``topology_producer_name`` knows (empty:
    ``topology-producer``). A way that is not known has ``assumed_bandwidth``, in bytes per second, and no latency.

    An endpoint without a prediction (of ``latency_prediction_info_producer_name``, empty:
    ``predicted-latency-producer``) is left out as one that prefills. If that leaves none of those that there are, or
    there is no prediction for the endpoint that decodes, the answer is ``without_predictions``. If no endpoint
    prefills the answer is no.

    Work is in proportion to the endpoints that prefill. For ``decode-first`` only, as every prefill decider.

    Raises:
        ValueError: ``min_gain`` is negative, ``assumed_bandwidth`` or a number of bytes is 0.
    """

    def __init__(
        self,
        min_gain: timedelta = NO_GAIN,
        without_predictions: Split = "decode-only",
        assumed_bandwidth: Quantity = ASSUMED_BANDWIDTH,
        bytes_per_token: Quantity = KV_BYTES_PER_TOKEN,
        bytes_per_token_by_model: Mapping[str, Quantity] = NO_MODELS,
        latency_prediction_info_producer_name: str = "",
        topology_producer_name: str = "",
        prefix_match_info_producer_name: str = "",
        name: PluginName = PREDICTED_TIME,
    ) -> None:
        if min_gain < timedelta(0):
            raise ValueError(f"min_gain must be at least 0, got {min_gain}")
        if assumed_bandwidth < 1:
            raise ValueError(f"assumed_bandwidth must be at least 1, got {assumed_bandwidth}")
        self._min_gain = min_gain.total_seconds()
        self._otherwise = without_predictions == "prefill-decode"
        self._bandwidth = assumed_bandwidth
        self._transfer = KvTransfer(bytes_per_token, bytes_per_token_by_model)
        self._predictions_key = LATENCY_PREDICTIONS.of(latency_prediction_info_producer_name)
        self._topology_key = TOPOLOGY.of(topology_producer_name)
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._key = DISAGG_DECISION.of(name)
        self.reads = (self._predictions_key, self._topology_key)
        self.optional_reads = (PROMPT, self._matches_key)
        self.writes = (self._key,)
        self._decided: Counter[str] = Counter()

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes the decision; it is worked out when it is asked for, once for each endpoint that might decode."""
        prefilling = [endpoint.name for endpoint in endpoints if endpoint.labels.get(ROLE_LABEL) in PREFILL_ROLES]
        times = cache(self._comparison(request, state, prefilling))
        decision: Decision = ReasonedDecision(
            lambda endpoint: self._decide(times(endpoint.name)), lambda endpoint: _reason(times(endpoint.name))
        )
        state.write(self._key, decision)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """The state lives as long as the response; what was predicted of the whole pool need not.

        What the transfer is expected to take is left for those that learn from the first token.
        """
        state.discard(self._key)
        decoding = result.endpoint.name
        for profile, found in result.profiles.items():
            sender = found.picked[0]
            if profile != result.primary and sender.labels.get(ROLE_LABEL) in PREFILL_ROLES:
                topology, size = state.get(self._topology_key), self._size(request, state, decoding)
                state.write(KV_TRANSFER_SECONDS, self._transfer_seconds(topology, decoding, size)(sender.name))

    def _size(self, request: InferenceRequest, state: CycleState, decoding: str) -> int:
        """The bytes of what is not cached where it is decoded."""
        uncached = UncachedRequestTokens(state.get(PROMPT, Prompt()).tokens, state.get(self._matches_key))
        return self._transfer.size(uncached.at(decoding), request.target_model)

    def _comparison(
        self, request: InferenceRequest, state: CycleState, prefilling: Sequence[str]
    ) -> Callable[[str], _Times]:
        predictions: LatencyPredictions = state.get(self._predictions_key) or {}
        topology = state.get(self._topology_key)

        def compare(decoding: str) -> _Times:
            there = predictions.get(decoding)
            if there is None:
                return _Times(None, None)
            others = [name for name in prefilling if name != decoding]
            sent = self._transfer_seconds(topology, decoding, self._size(request, state, decoding))
            apart = [
                predicted.ttft_seconds + sent(name)
                for name in others
                if (predicted := predictions.get(name)) is not None
            ]
            if others and not apart:
                return _Times(there.ttft_seconds, None)
            return _Times(there.ttft_seconds, min(apart, default=math.inf) + there.tpot_seconds)

        return compare

    def _transfer_seconds(self, topology: Topology | None, decoding: str, size: int) -> Callable[[str], float]:
        """How long so many bytes take to the endpoint that decodes, by the one that sends them."""
        if not size:
            return _no_time
        assumed = size / self._bandwidth
        if topology is None:
            return lambda _: assumed
        routes = topology.routes(decoding)

        def seconds(sender: str) -> float:
            route = routes(sender)
            return assumed if route is None else route.seconds(size)

        return seconds

    def _decide(self, times: _Times) -> bool:
        gain = times.gain
        if gain is None:
            self._decided["not predicted"] += 1
            return self._otherwise
        self._decided["faster apart" if gain >= self._min_gain else "faster alone"] += 1
        return gain >= self._min_gain

    def readings(self) -> Iterable[Reading]:
        """What was decided, and why."""
        for reason, count in self._decided.items():
            what = "Decisions whether another endpoint prefills, by what the predictions said."
            yield CounterReading("pd_predicted_time_decisions_total", what, count, {"reason": reason})


def _no_time(_: str) -> float:
    return 0.0


def _reason(times: _Times) -> str:
    if times.gain is None:
        return "not predicted"
    if times.apart == math.inf:
        return "nobody else prefills"
    return f"predicted {times.apart:.3f} s apart, {times.alone:.3f} s alone"
