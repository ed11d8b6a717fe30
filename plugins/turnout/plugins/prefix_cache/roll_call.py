"""Who is there: endpoints are looked at in rounds, a part of them with each request."""

from collections.abc import Sequence

from turnout.framework import Endpoint

FORGET_AFTER_SECONDS = 120.0
"""An endpoint has departed when it was no candidate for so long."""

ROUND_SECONDS = 1.0

LOOKED_AT_ONCE = 100
"""With one request, so that none pays for a thousand endpoints."""


class RollCall:
    """When each endpoint was last a candidate, and the block sizes that engines report."""

    def __init__(self) -> None:
        self.largest_block_size = 0
        self._seen: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._expected: set[str] = set()
        self._next_round_at = 0.0
        self._looked_at = 0
        self._departed: list[str] = []

    def __len__(self) -> int:
        """Endpoints that are known and have not departed."""
        return len(self._seen)

    def next(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        """Those of the candidates that should be looked at now; none for the rest of a second after all were."""
        if now < self._next_round_at:
            return ()
        part = endpoints[self._looked_at : self._looked_at + LOOKED_AT_ONCE]
        for endpoint in part:
            self.present(endpoint, now)
        self._looked_at += LOOKED_AT_ONCE
        if self._looked_at >= len(endpoints):
            self._end_round(now)
        return part

    def present(self, endpoint: Endpoint, now: float) -> None:
        """The endpoint is there."""
        self._seen[endpoint.name] = now
        self._sizes[endpoint.name] = size = endpoint.metrics.cache_block_size
        self.largest_block_size = max(self.largest_block_size, size)

    def expect(self, name: str) -> None:
        """The endpoint may appear; it has as long as if it had been there."""
        self._expected.add(name)

    def departed(self) -> Sequence[str]:
        """The endpoints that departed since this was last asked."""
        departed, self._departed = self._departed, []
        return departed

    def _end_round(self, now: float) -> None:
        self._looked_at, self._next_round_at = 0, now + ROUND_SECONDS
        for name in self._expected:
            self._seen.setdefault(name, now)
        self._expected.clear()
        gone = [name for name, seen in self._seen.items() if now - seen >= FORGET_AFTER_SECONDS]
        for name in gone:
            del self._seen[name]
            self._sizes.pop(name, None)
        self._departed += gone
        self.largest_block_size = max(self._sizes.values(), default=0)
