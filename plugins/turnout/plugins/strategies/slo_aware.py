"""Least slack before the TTFT target first."""

from datetime import timedelta

from turnout.framework import NEVER, PROMPT, EffectivePriority, QueuedRequest
from turnout.plugins.strategies.expected_work import prompt_tokens, two_bands
from turnout.plugins.strategies.max_wait import DEFAULT_MAX_WAIT, MaxWait
from turnout.plugins.strategies.strategy import waited


class SloAwareOrderingPolicy:
    """Dispatches the request first that can wait least without missing its TTFT target.

    Its slack is what is left of the target less the time that an engine takes for the prompt: prompt tokens by
    ``prefill_tokens_per_second``, as measured with one long prompt that is not cached. Requests without a target come
    after all with one, in order of arrival. Priorities count only by their sign: negative ones come after all others.

    A request that has waited ``max_wait`` (0: no bound) goes next, whatever its slack.

    Raises:
        ValueError: the rate is not positive and finite, or ``max_wait`` is negative.
    """

    optional_reads = (PROMPT,)

    def __init__(self, prefill_tokens_per_second: float = 15928.0, max_wait: timedelta = DEFAULT_MAX_WAIT) -> None:
        if not 0.0 < prefill_tokens_per_second < float("inf"):
            raise ValueError(f"prefill_tokens_per_second must be positive and finite, got {prefill_tokens_per_second}")
        self._rate = prefill_tokens_per_second
        self._max_wait = MaxWait(max_wait)

    def rank(self, item: QueuedRequest, now: float) -> float:
        """The latest time at which the request may start; it does not change with ``now``."""
        target = item.request.ttft_target
        if target is None:
            return NEVER
        return item.request.received_at + target - prompt_tokens(item) / self._rate

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        return EffectivePriority(two_bands(item.request.priority), overdue_at=self._max_wait.overdue_at(item))

    def reason(self, item: QueuedRequest, now: float) -> str:
        """Its slack, or that it is overdue."""
        return self._max_wait.reason(item, now) or self._slack(item, now)

    def _slack(self, item: QueuedRequest, now: float) -> str:
        target = item.request.ttft_target
        if target is None:
            return f"no TTFT target, so after those with one; {waited(item, now)}"
        slack = self.rank(item, now) - now
        if slack < 0.0:
            return f"TTFT target of {target:.3g} s, missed by {-slack:.3g} s even if it starts at once"
        return f"TTFT target of {target:.3g} s; {slack:.3g} s of slack"
