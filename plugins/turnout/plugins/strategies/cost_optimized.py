"""Least expected cost first."""

from datetime import timedelta

from turnout.framework import PROMPT, EffectivePriority, QueuedRequest
from turnout.plugins.strategies.expected_work import (
    DEFAULT_OUTPUT_TOKENS,
    prompt_tokens,
    two_bands,
)
from turnout.plugins.strategies.max_wait import DEFAULT_MAX_WAIT, MaxWait


class CostOptimizedOrderingPolicy:
    """Dispatches the request with the least expected cost first, which serves the most requests in a given time.

    The cost is prompt tokens plus ``output_weight`` times the expected output tokens: ``expected_output_tokens``, or
    what the request allows if that is less. Priorities count only by their sign: negative ones come after all others.

    Large requests would wait for ever under a steady load of small ones: one that has waited ``max_wait`` (0: no
    bound) goes next, whatever its cost.

    Raises:
        ValueError: ``output_weight`` is negative or not finite, or ``expected_output_tokens`` or ``max_wait`` is
            negative.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        output_weight: float = 2.0,
        expected_output_tokens: int = DEFAULT_OUTPUT_TOKENS,
        max_wait: timedelta = DEFAULT_MAX_WAIT,
    ) -> None:
        if not 0.0 <= output_weight < float("inf"):
            raise ValueError(f"output_weight must be at least 0 and finite, got {output_weight}")
        if expected_output_tokens < 0:
            raise ValueError(f"expected_output_tokens must be at least 0, got {expected_output_tokens}")
        self._output_weight = output_weight
        self._expected_output_tokens = expected_output_tokens
        self._max_wait = MaxWait(max_wait)

    def rank(self, item: QueuedRequest, now: float) -> float:
        """The expected cost in tokens."""
        return prompt_tokens(item) + self._output_weight * item.request.output_tokens(self._expected_output_tokens)

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        return EffectivePriority(two_bands(item.request.priority), overdue_at=self._max_wait.overdue_at(item))

    def reason(self, item: QueuedRequest, now: float) -> str:
        """Its cost, or that it is overdue."""
        return self._max_wait.reason(item, now) or f"expected cost of {self.rank(item, now):.0f} tokens"
