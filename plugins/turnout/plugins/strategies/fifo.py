"""First come, first served."""

from turnout.framework import EffectivePriority, QueuedRequest
from turnout.plugins.strategies.strategy import waited

_ONE_BAND = EffectivePriority(0)


class FifoOrderingPolicy:
    """Dispatches in order of arrival, whatever the priority: all requests wait in the band of priority 0."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        return _ONE_BAND

    def reason(self, item: QueuedRequest, now: float) -> str:
        """How long it has waited."""
        return f"in order of arrival; {waited(item, now)}"
