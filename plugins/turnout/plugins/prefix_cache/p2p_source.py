"""Names the endpoint from which an engine may fetch cached blocks instead of computing them."""

from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate

import xxhash

from turnout.framework import CycleState, Endpoint, InferenceRequest, PluginName, SchedulingResult, StateKey
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.parameters import at_least

SOURCE_HEADER = "x-kv-cache-source-host-port"
DEFAULT_NAME = PluginName("p2p-source-producer")


class P2PSourceProducer:
    """Sets ``x-kv-cache-source-host-port`` on the request to the engine: who else has the prompt's prefix.

    The engine that computes the prompt is the first endpoint of the profile ``prefill_profile_name`` if that profile
    ran, else the destination. A source is another endpoint that is believed to have cached at least
    ``min_cached_token_delta`` more tokens of the prompt; without one there is no header. Among the sources within one
    block of the best each is chosen with a chance in proportion to 1 / (1 + its waiting queue size), by a hash of the
    request's id: the same request has the same source.

    ``prefix_match_info_producer_name`` is the plugin whose matches are read; empty means
    ``approx-prefix-cache-producer``.

    Raises:
        ValueError: ``min_cached_token_delta`` is below 1.
    """

    def __init__(
        self,
        min_cached_token_delta: int = 1,
        prefill_profile_name: str = "prefill",
        prefix_match_info_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        at_least("min_cached_token_delta", min_cached_token_delta, 1)
        self._delta = min_cached_token_delta
        self._prefill_profile = prefill_profile_name
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._candidates_key = StateKey[Sequence[Endpoint]]("p2p-candidates", producer=name)
        self.reads = (self._matches_key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Keeps the endpoints until the decision: a source need not have passed the filters of any profile."""
        state.write(self._candidates_key, endpoints)

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        """The header, if there is a source."""
        endpoints = state.get(self._candidates_key, ())
        # The state lives as long as the response; a snapshot of all endpoints need not.
        state.discard(self._candidates_key)
        matches = state.get(self._matches_key)
        if matches is None or not matches.blocks:
            return None
        sources = self._sources(matches, self._computing(result), endpoints)
        return {SOURCE_HEADER: _drawn(sources, request.request_id).host_port} if sources else None

    def _computing(self, result: SchedulingResult) -> Endpoint:
        prefill = result.profiles.get(self._prefill_profile)
        return result.endpoint if prefill is None else prefill.picked[0]

    def _sources(
        self, matches: PrefixMatches, computing: Endpoint, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        blocks = matches.blocks
        missing_blocks = -(-self._delta // max(1, matches.block_size_tokens))
        least = blocks.get(computing.name, 0) + missing_blocks
        found = [
            endpoint
            for endpoint in endpoints
            if blocks.get(endpoint.name, 0) >= least and endpoint.host_port != computing.host_port
        ]
        near_best = max((blocks[endpoint.name] for endpoint in found), default=0) - 1
        return [endpoint for endpoint in found if blocks[endpoint.name] >= near_best]


def _drawn(endpoints: Sequence[Endpoint], request_id: str) -> Endpoint:
    chances = list(accumulate(1.0 / (1 + endpoint.metrics.waiting_queue_size) for endpoint in endpoints))
    draw = xxhash.xxh3_64_intdigest(request_id.encode("utf-8", "surrogatepass")) / 2**64
    # Rounding may carry the largest draws to the very end.
    return endpoints[min(bisect(chances, draw * chances[-1]), len(endpoints) - 1)]
