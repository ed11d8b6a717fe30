"""What producers of in-flight load publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class TokenLoad(Protocol):
    """What has to be computed before a first token. A live view, which may be kept and asked at any time.

    Tokens are those of prompts that are not believed to be cached; ``now`` is on the clock of ``CycleState.now``.
    """

    def queued_tokens(self, endpoint: Endpoint, now: float) -> float:
        """Tokens that were sent to the endpoint and are not computed yet."""
        ...

    def tokens_per_second(self, endpoint_name: str) -> float:
        """How many the endpoint computes; positive and finite."""
        ...

    def sent_tokens(self, endpoint_name: str) -> int:
        """How many were sent to the endpoint since it came; only grows while it is in the pool."""
        ...

    def waiting_tokens(self) -> Mapping[str, int]:
        """Tokens of the requests that wait in flow control, by target model; beyond a bound, under the empty name."""
        ...


TOKEN_LOAD: KeyFamily[TokenLoad] = KeyFamily("token-load", "token-load-producer")
IN_FLIGHT_LOAD: KeyFamily[InFlightLoad] = KeyFamily("in-flight-load", DEFAULT_PRODUCER)
UNCACHED_REQUEST_TOKENS: KeyFamily[UncachedRequestTokens] = KeyFamily("uncached-request-tokens", DEFAULT_PRODUCER)
