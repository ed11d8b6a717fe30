"""The work that was sent to one endpoint and has not ended, as far as predictions need it.

Theory of operation. An engine computes prompts in the order in which they come, so what lies ahead of a new one is a
clock: the time at which the engine is through with all that was sent. Each dispatch moves it by what its own prompt is
predicted to take. Where first tokens are seen the clock is corrected by them: prompts whose first token has not come
are still ahead, but for the one that is being computed.
"""

import math
from itertools import islice

PREFILL_MEMORY_SECONDS = 10.0
USUAL_PREFILL_STEP = 0.1
MOST_PREFILL_SHARE = 0.9


class EndpointWork:
    """Requests by number. Times are in seconds; the memory is that of the requests in flight."""

    __slots__ = ("_ends", "_free_at", "_pending", "_prefilled", "_prefilled_at", "context_tokens", "usual_prefill")

    def __init__(self) -> None:
        self.context_tokens = 0.0
        """Of all requests, as they are expected to be on average while they decode."""
        self.usual_prefill = 0.0
        """Seconds that a prompt takes here on average."""
        self._free_at = 0.0
        # When each request is expected to end.
        self._ends: dict[int, float] = {}
        # Prefill seconds of the requests whose first token is going to be seen and has not been, in order.
        self._pending: dict[int, float] = {}
        self._prefilled = 0.0
        self._prefilled_at = 0.0

    @property
    def requests(self) -> int:
        """How many are on their way."""
        return len(self._ends)

    def send(
        self,
        number: int,
        prefill_seconds: float,
        duration: float,
        context_tokens: float,
        now: float,
        *,
        shows_first_token: bool,
    ) -> None:
        """A request is on its way; it is expected to end after ``duration``."""
        self._ends[number] = now + duration
        self.context_tokens += context_tokens
        self.usual_prefill += (prefill_seconds - self.usual_prefill) * (
            USUAL_PREFILL_STEP if self.usual_prefill else 1.0
        )
        self._free_at = max(self._free_at, now) + prefill_seconds
        self._prefilled = self._decayed(now) + prefill_seconds
        self._prefilled_at = now
        if shows_first_token:
            self._pending[number] = prefill_seconds

    def first_token(self, number: int, now: float) -> None:
        """The prompt has been computed; all that is known to be ahead is what still waits for its first token."""
        if self._pending.pop(number, None) is not None:
            self._free_at = now + sum(self._pending.values())

    def end(self, number: int, context_tokens: float, now: float) -> None:
        """The request is over, whether its prompt was computed or not."""
        self.first_token(number, now)
        self._ends.pop(number, None)
        self.context_tokens = max(0.0, self.context_tokens - context_tokens) if self.requests else 0.0

    def prefill_ahead(self, now: float) -> float:
        """Seconds until a prompt that is sent now would be begun."""
        by_the_clock = max(0.0, self._free_at - now)
        if len(self._pending) < 2:
            return by_the_clock
        return max(by_the_clock, sum(islice(self._pending.values(), 1, None)))

    def place_in(self, places: int, now: float) -> float:
        """Seconds until one of so many places is free for a request that is sent now, those before it served first."""
        beyond = len(self._ends) - places
        if beyond < 0:
            return 0.0
        return max(0.0, sorted(self._ends.values())[beyond] - now)

    def prefill_share(self, now: float) -> float:
        """Which share of its time the endpoint spends on prompts lately, at most 0.9."""
        return min(MOST_PREFILL_SHARE, self._decayed(now) / PREFILL_MEMORY_SECONDS)

    def _decayed(self, now: float) -> float:
        return self._prefilled * math.exp((self._prefilled_at - now) / PREFILL_MEMORY_SECONDS)
