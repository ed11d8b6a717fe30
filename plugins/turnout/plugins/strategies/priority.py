"""Highest priority first."""

from datetime import timedelta

from turnout.framework import EffectivePriority, QueuedRequest
from turnout.plugins.strategies.max_wait import DEFAULT_MAX_WAIT, MaxWait
from turnout.plugins.strategies.strategy import waited


class PriorityOrderingPolicy:
    """Dispatches the highest priority first, and equal ones in order of arrival.

    A request that has waited ``max_wait`` (0: no bound) goes next, whatever its priority. For priorities that rise
    with the wait see ``aging-ordering-policy``.

    Raises:
        ValueError: ``max_wait`` is negative.
    """

    def __init__(self, max_wait: timedelta = DEFAULT_MAX_WAIT) -> None:
        self._max_wait = MaxWait(max_wait)

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        return EffectivePriority(item.request.priority, overdue_at=self._max_wait.overdue_at(item))

    def reason(self, item: QueuedRequest, now: float) -> str:
        """Its priority, or that it is overdue."""
        return self._max_wait.reason(item, now) or f"priority {item.request.priority}; {waited(item, now)}"
