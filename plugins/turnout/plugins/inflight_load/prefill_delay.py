"""Prefers endpoints where a request waits least for its first token."""

from collections.abc import Sequence
from datetime import timedelta

from turnout.framework import (
    Completion,
    CycleState,
    Endpoint,
    InferenceRequest,
    PluginName,
    Response,
    ResponseChunk,
    SchedulingResult,
    Scores,
    StateKey,
)
from turnout.plugins.inflight_load.keys import UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.inflight_load.prefill_queue import PrefillQueues, SentPrompts

DEFAULT_NAME = PluginName("prefill-delay-scorer")
DEFAULT_TOLERATED_DELAY = timedelta(seconds=1)

# A request that waits a minute anyway may as well wait for its cache a few seconds longer.
TOLERATED_SHARE_OF_THE_WAIT = 0.1


class PrefillDelayScorer:
    """Scores the endpoint with the least delay before the first token 1, and those that delay it too long 0.

    The delay is counted in tokens: those ahead in the endpoint's queue, those of this request that are not cached
    there, and ``running_request_tokens`` for each request in flight there, which slows the others down. In between the
    score falls with the delay beyond the least one; it is 0 at ``tolerated_delay`` times
    ``peak_prefill_throughput`` (tokens per second, as measured with one long prompt: its tokens by its TTFT),
    plus a tenth of the least delay itself.

    With the weight of ``prefix-cache-scorer`` beside the same weight of this one, a prompt leaves the endpoint that has
    all of it cached when it would wait there longer by the tolerated delay than it takes to be computed elsewhere.

    ``in_flight_load_producer_name`` is the plugin that says how much of a request is cached; empty means
    ``inflight-load-producer``.

    Raises:
        ValueError: a parameter is negative, or a delay or a rate is not positive.
    """

    # The first byte of an answer tells that its prompt is computed; not worth a proxy that sends every byte of all.
    needs_response_body = False

    def __init__(
        self,
        tolerated_delay: timedelta = DEFAULT_TOLERATED_DELAY,
        peak_prefill_throughput: float = 15928.0,
        running_request_tokens: int = 256,
        in_flight_load_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if tolerated_delay <= timedelta():
            raise ValueError(f"tolerated_delay must be positive, got {tolerated_delay}")
        if not 0.0 < peak_prefill_throughput < float("inf"):
            raise ValueError(f"peak_prefill_throughput must be positive and finite, got {peak_prefill_throughput}")
        if running_request_tokens < 0:
            raise ValueError(f"running_request_tokens must be at least 0, got {running_request_tokens}")
        self._rate = peak_prefill_throughput
        self._tolerated_tokens = tolerated_delay.total_seconds() * peak_prefill_throughput
        self._running_tokens = running_request_tokens
        self._uncached_key = UNCACHED_REQUEST_TOKENS.of(in_flight_load_producer_name)
        self._sent_key = StateKey[SentPrompts]("sent-prompts", producer=name)
        self.reads = (self._uncached_key,)
        self._queues = PrefillQueues()

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        # A producer that failed costs its data, not the request.
        uncached = state.get(self._uncached_key, UncachedRequestTokens(0)).at_each(endpoints)
        queue_of, now, rate, running = self._queues.of, state.now, self._rate, self._running_tokens
        delays = [
            own
            + running * endpoint.in_flight
            + (
                queue.ahead(endpoint.metrics.waiting_queue_size, now, rate)
                if (queue := queue_of(endpoint.name))
                else 0.0
            )
            for own, endpoint in zip(uncached, endpoints, strict=True)
        ]
        least = min(delays)
        per_token = 1.0 / (self._tolerated_tokens + TOLERATED_SHARE_OF_THE_WAIT * least)
        return [1.0 - lost if (lost := (delay - least) * per_token) < 1.0 else 0.0 for delay in delays]

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Queues the prompt at the destination and at the first endpoint of every other profile."""
        uncached = state.get(self._uncached_key, UncachedRequestTokens(0))
        others = (profile.picked[0].name for profile in result.profiles.values())
        names = dict.fromkeys((result.endpoint.name, *others))
        sent = self._queues.send(((name, uncached.at(name), self._rate) for name in names), state.now)
        state.write(self._sent_key, sent)

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """At the first piece the prompt has been computed."""
        if chunk.first:
            self._end(state)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """The prompt does not wait any more, however the request ended."""
        self._end(state)

    def _end(self, state: CycleState) -> None:
        self._queues.end(state.get(self._sent_key, ()))
