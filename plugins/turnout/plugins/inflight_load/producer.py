"""Accounts for requests and tokens from dispatch to release."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Prompt,
    Reading,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.inflight_load.keys import (
    DEFAULT_PRODUCER,
    IN_FLIGHT_LOAD,
    UNCACHED_REQUEST_TOKENS,
    InFlightLoad,
    UncachedRequestTokens,
)
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)


@dataclass(slots=True)
class _Charge:
    """What one request still holds at one endpoint."""

    endpoint: str
    requests: int
    prompt_tokens: int
    output_tokens: int
    ends_with_prefill: bool


class InFlightLoadProducer:
    """Publishes how many requests and tokens are on their way to each endpoint.

    A dispatch adds one request and the prompt tokens that are not believed to be cached there, to the destination
    and to the first endpoint of every other profile. The first piece of the response releases the prompt tokens, and
    all that was counted at endpoints other than the destination; the end of the request releases the rest.

    With ``add_estimated_output_tokens`` the destination also counts ``output_ratio`` times the prompt's tokens
    until the end, at most ``max_estimated_output_tokens`` and what the request allows.
    ``prefix_match_info_producer_name`` is the plugin whose matches tell what is cached; empty means
    ``approx-prefix-cache-producer``, and without it every token counts. ``sync_cross_replica_state`` is accepted
    and has no effect: each Endpoint Picker counts its own dispatches.

    Raises:
        ValueError: ``output_ratio`` or ``max_estimated_output_tokens`` is negative.
    """

    # Releasing prompt tokens at the first byte is finer, but not worth a proxy that sends every byte of every answer.
    needs_response_body = False

    def __init__(
        self,
        add_estimated_output_tokens: bool = False,
        output_ratio: float = 1.5,
        max_estimated_output_tokens: int | None = None,
        prefix_match_info_producer_name: str = "",
        sync_cross_replica_state: bool = True,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not 0.0 <= output_ratio < float("inf"):
            raise ValueError(f"output_ratio must be at least 0 and finite, got {output_ratio}")
        if max_estimated_output_tokens is not None and max_estimated_output_tokens < 0:
            raise ValueError(f"max_estimated_output_tokens must be at least 0, got {max_estimated_output_tokens}")
        self._estimates_output = add_estimated_output_tokens
        self._output_ratio = output_ratio
        self._max_output_tokens = max_estimated_output_tokens
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._load_key = IN_FLIGHT_LOAD.of(name)
        self._uncached_key = UNCACHED_REQUEST_TOKENS.of(name)
        self._charges_key = StateKey[list[_Charge]]("in-flight-charges", producer=name)
        self.optional_reads = (PROMPT, self._matches_key)
        self.writes = (self._load_key, self._uncached_key)
        # Entries that reach zero are dropped, so that endpoints which left the pool leave nothing behind.
        self._requests: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._load = InFlightLoad(MappingProxyType(self._requests), MappingProxyType(self._tokens))

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the load of all endpoints and the uncached tokens of this request."""
        state.write(self._load_key, self._load)
        prompt_tokens = state.get(PROMPT, Prompt()).tokens
        state.write(self._uncached_key, UncachedRequestTokens(prompt_tokens, state.get(self._matches_key)))

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Counts the dispatch."""
        prompt_tokens = state.get(PROMPT, Prompt()).tokens
        uncached = state.get(self._uncached_key) or UncachedRequestTokens(prompt_tokens)
        primary = result.endpoint.name
        names = dict.fromkeys((primary, *(profile.picked[0].name for profile in result.profiles.values())))
        charges = [_Charge(name, 1, uncached.at(name), 0, ends_with_prefill=name != primary) for name in names]
        charges[0].output_tokens = self._estimated_output(request, prompt_tokens)
        state.write(self._charges_key, charges)
        for charge in charges:
            self._count(charge.endpoint, charge.requests, charge.prompt_tokens + charge.output_tokens)

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """Releases what the prefill held, at the first piece."""
        for charge in state.get(self._charges_key, ()):
            if charge.ends_with_prefill:
                self._release(charge)
            elif charge.prompt_tokens:
                self._count(charge.endpoint, 0, -charge.prompt_tokens)
                charge.prompt_tokens = 0

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Releases what is left."""
        for charge in state.get(self._charges_key, ()):
            self._release(charge)

    def readings(self) -> Iterable[Reading]:
        """The tokens in flight at each endpoint that has any."""
        for endpoint, tokens in self._tokens.items():
            namespace, _, name = endpoint.rpartition("/")
            labels = {"endpoint_name": name, "namespace": namespace, "producer_name": self._load_key.producer}
            yield GaugeReading("inflight_tokens", "Tokens on their way to an endpoint.", tokens, labels)

    def _estimated_output(self, request: InferenceRequest, prompt_tokens: int) -> int:
        if not self._estimates_output:
            return 0
        estimate = int(prompt_tokens * self._output_ratio)
        bounds = (self._max_output_tokens, request.max_output_tokens)
        # A client may ask for a negative number of tokens.
        return max(0, min([estimate, *(bound for bound in bounds if bound is not None)]))

    def _release(self, charge: _Charge) -> None:
        self._count(charge.endpoint, -charge.requests, -charge.prompt_tokens - charge.output_tokens)
        charge.requests = charge.prompt_tokens = charge.output_tokens = 0

    def _count(self, endpoint: str, requests: int, tokens: int) -> None:
        _add(self._requests, endpoint, requests)
        _add(self._tokens, endpoint, tokens)


def _add(counts: dict[str, int], endpoint: str, amount: int) -> None:
    count = counts.get(endpoint, 0) + amount
    if count:
        counts[endpoint] = count
    else:
        counts.pop(endpoint, None)
