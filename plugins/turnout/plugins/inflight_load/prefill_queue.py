"""How many prompt tokens an endpoint has to compute before those of a request that is sent there now.

Theory of operation. An engine computes prompts in the order in which they come. Of the requests that were sent and have
not ended, the last ones are those that still wait, as many as the endpoint's waiting queue size says; their tokens lie
ahead. What left the queue a moment ago may still be computed, which no metric tells: so the tokens that were sent also
drain at the engine's prefill rate, and the larger of both counts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """A prompt on its way: its number among those of its endpoint."""

    number: int


class PrefillQueue:
    """The prompts of one endpoint that were sent and whose requests have not ended. Times are in seconds."""

    __slots__ = ("_backlog", "_backlog_at", "_before", "_next", "_numbers", "_sent")

    def __init__(self) -> None:
        # Of each prompt its number, and the tokens of all prompts that were sent before it; in order.
        self._numbers: list[int] = []
        self._before: list[int] = []
        self._sent = 0
        self._next = 0
        self._backlog = 0.0
        self._backlog_at = 0.0

    def __len__(self) -> int:
        return len(self._numbers)

    def send(self, tokens: int, now: float, tokens_per_second: float) -> SentPrompt:
        """A prompt with so many uncached tokens goes to the endpoint."""
        drained = (now - self._backlog_at) * tokens_per_second
        self._backlog = max(0.0, self._backlog - drained) + tokens
        self._backlog_at = now
        self._numbers.append(self._next)
        self._before.append(self._sent)
        self._next += 1
        self._sent += tokens
        return SentPrompt(self._next - 1)

    def end(self, prompt: SentPrompt) -> None:
        """The prompt's request has ended, or its first token is there; only the first call counts."""
        place = bisect_left(self._numbers, prompt.number)
        if place < len(self._numbers) and self._numbers[place] == prompt.number:
            del self._numbers[place], self._before[place]

    def ahead(self, waiting: int, now: float, tokens_per_second: float) -> float:
        """Tokens to compute before those of a request that is sent now; ``waiting`` requests are in the queue."""
        before, sent = self._before, self._sent
        if not before:
            return 0.0
        draining = self._backlog - (now - self._backlog_at) * tokens_per_second
        if waiting > len(before):
            # Requests of other routers are as long as ours, for all we know.
            return (sent - before[0]) * waiting / len(before)
        queued = sent - before[-waiting] if waiting else 0
        if draining <= queued:
            return queued
        return min(draining, sent - before[0])


SentPrompts: TypeAlias = Sequence[tuple[str, SentPrompt]]
"""Where the prompt of one request was sent, by endpoint name."""


class PrefillQueues:
    """The queues of all endpoints. Only endpoints with prompts on their way have one."""

    __slots__ = ("_queues", "of")

    def __init__(self) -> None:
        self._queues: dict[str, PrefillQueue] = {}
        self.of = self._queues.get

    def __len__(self) -> int:
        return len(self._queues)

    def send(self, prompts: Iterable[tuple[str, int, float]], now: float) -> SentPrompts:
        """One request goes to these endpoints: their names, its uncached tokens there, and their tokens per second."""
        return [
            (name, self._queues.setdefault(name, PrefillQueue()).send(tokens, now, rate))
            for name, tokens, rate in prompts
        ]

    def end(self, sent: SentPrompts) -> None:
        """The request has its first token, or has ended; only the first call counts."""
        for name, prompt in sent:
            queue = self._queues.get(name)
            if queue is not None:
                queue.end(prompt)
                if not len(queue):
                    del self._queues[name]

    def ahead(self, name: str, waiting: int, now: float, tokens_per_second: float) -> float:
        """What lies ahead of one more prompt at the endpoint; see ``PrefillQueue``."""
        queue = self._queues.get(name)
        return 0.0 if queue is None else queue.ahead(waiting, now, tokens_per_second)
