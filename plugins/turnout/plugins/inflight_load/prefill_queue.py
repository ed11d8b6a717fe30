"""How many prompt tokens an endpoint has to compute before those of a request that is sent there now.

Theory of operation. An engine computes prompts in the order in which they come. Of the requests that were sent and have
not ended, the last ones are those that still wait, as many as the endpoint's waiting queue size says; their tokens lie
ahead. What left the queue a moment ago may still be computed, which no metric tells: so the tokens that were sent also
drain at the engine's prefill rate, and the larger of both counts.
"""

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(slots=True)
class SentPrompt:
    """A prompt on its way: its number, its uncached tokens, and those of all prompts that were sent before it."""

    number: int
    tokens: int
    before: int


class PrefillQueue:
    """The prompts of one endpoint that were sent and whose requests have not ended. Times are in seconds."""

    __slots__ = ("_backlog", "_backlog_at", "_next", "_prompts", "_sent")

    def __init__(self) -> None:
        self._prompts: list[SentPrompt] = []
        self._sent = 0
        self._next = 0
        self._backlog = 0.0
        self._backlog_at = 0.0

    def __len__(self) -> int:
        return len(self._prompts)

    def send(self, tokens: int, now: float, tokens_per_second: float) -> SentPrompt:
        """A prompt with so many uncached tokens goes to the endpoint."""
        self._backlog = self._draining(now, tokens_per_second) + tokens
        self._backlog_at = now
        prompt = SentPrompt(self._next, tokens, self._sent)
        self._next += 1
        self._sent += tokens
        self._prompts.append(prompt)
        return prompt

    def end(self, prompt: SentPrompt) -> None:
        """The prompt's request has ended, or its first token is there; only the first call counts."""
        place = bisect_left(self._prompts, prompt.number, key=_number)
        if place < len(self._prompts) and self._prompts[place] is prompt:
            del self._prompts[place]

    def ahead(self, waiting: int, now: float, tokens_per_second: float) -> float:
        """Tokens to compute before those of a request that is sent now; ``waiting`` requests are in the queue."""
        if not self._prompts:
            return 0.0
        known = min(waiting, len(self._prompts))
        queued = self._sent - self._prompts[-known].before if known else 0
        in_all = self._sent - self._prompts[0].before
        # Requests of other routers are as long as ours, for all we know.
        strangers = (waiting - known) * in_all / len(self._prompts)
        return max(queued, min(in_all, self._draining(now, tokens_per_second))) + strangers

    def _draining(self, now: float, tokens_per_second: float) -> float:
        return max(0.0, self._backlog - (now - self._backlog_at) * tokens_per_second)


def _number(prompt: SentPrompt) -> int:
    return prompt.number
