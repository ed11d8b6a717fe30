"""What producers of in-flight load publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.framework import Endpoint, KeyFamily
from turnout.plugins.prefix_cache.keys import PrefixMatches

DEFAULT_PRODUCER = "inflight-load-producer"


@dataclass(frozen=True, slots=True)
class InFlightLoad:
    """Requests and tokens on their way, by endpoint name; an endpoint without an entry has none.

    The mappings are read-only views that stay current, so that what is dispatched while a request waits
    for its other data still counts when the request is scheduled.
    """

    requests: Mapping[str, int]
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UncachedRequestTokens:
    """How many prompt tokens of one request an endpoint would have to compute."""

    prompt_tokens: int
    matches: PrefixMatches | None = None

    def at(self, endpoint_name: str) -> int:
        """Tokens of the prompt that are not believed to be cached at the endpoint."""
        if self.matches is None:
            return self.prompt_tokens
        cached = self.matches.blocks.get(endpoint_name, 0) * self.matches.block_size_tokens
        return max(0, self.prompt_tokens - cached)

    def at_each(self, endpoints: Sequence[Endpoint]) -> list[int]:
        """The same for many endpoints, in their order."""
        prompt_tokens, matches = self.prompt_tokens, self.matches
        if matches is None or not matches.blocks:
            return [prompt_tokens] * len(endpoints)
        blocks, size = matches.blocks, matches.block_size_tokens
        return [max(0, prompt_tokens - blocks.get(endpoint.name, 0) * size) for endpoint in endpoints]


IN_FLIGHT_LOAD: KeyFamily[InFlightLoad] = KeyFamily("in-flight-load", DEFAULT_PRODUCER)
UNCACHED_REQUEST_TOKENS: KeyFamily[UncachedRequestTokens] = KeyFamily("uncached-request-tokens", DEFAULT_PRODUCER)
