"""How many prompt tokens an endpoint computes per second: assumed at first, then measured.

A request that finds ``ahead`` tokens in its endpoint's queue and has ``own`` uncached ones gets its first token when
all of them are computed. So the sum of these tokens over many requests, divided by the sum of the times, is the rate;
in the sums long prompts count for what they are, and short ones, whose time is mostly overhead, hardly at all.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

MAX_ENDPOINTS = 4_096

# Fewer tokens say more of the network and of the engine's steps than of its rate.
LEAST_TOKENS = 512

# What was measured fades over so many seconds of waiting for first tokens.
MEMORY_SECONDS = 30.0
# The assumed rate counts as so many seconds of measuring.
PRIOR_SECONDS = 5.0


@dataclass(slots=True)
class _Sums:
    tokens: float
    seconds: float

    @classmethod
    def of(cls, rate: float) -> "_Sums":
        return cls(rate * PRIOR_SECONDS, PRIOR_SECONDS)

    def add(self, tokens: float, seconds: float) -> None:
        kept = math.exp(-seconds / MEMORY_SECONDS)
        self.tokens = self.tokens * kept + tokens
        self.seconds = self.seconds * kept + seconds

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class PrefillRates:
    """Tokens per second by endpoint; one that was not measured yet has that of the others, or the assumed one.

    Memory for at most 4,096 endpoints; those beyond have the rate of the others.
    """

    def __init__(self, assumed: float) -> None:
        self._all = _Sums.of(assumed)
        self._own: dict[str, _Sums] = {}

    def observe(self, endpoint: str, tokens: float, seconds: float) -> None:
        """A first token came after so many seconds, in which so many prompt tokens were computed."""
        if not (LEAST_TOKENS <= tokens < math.inf and 0.0 < seconds < math.inf):
            return
        own = self._own.get(endpoint)
        if own is None and len(self._own) < MAX_ENDPOINTS:
            own = self._own[endpoint] = _Sums.of(self._all.rate)
        if own is not None:
            own.add(tokens, seconds)
        self._all.add(tokens, seconds)

    def of(self, endpoint: str) -> float:
        """Tokens per second."""
        return self._own.get(endpoint, self._all).rate

    def is_measured(self, endpoint: str) -> bool:
        """Whether the endpoint has a rate of its own."""
        return endpoint in self._own

    def keep_only(self, endpoints: Collection[str]) -> None:
        """Forgets the endpoints that left."""
        for gone in [name for name in self._own if name not in endpoints]:
            del self._own[gone]

    def __len__(self) -> int:
        return len(self._own)
