"""Which running requests may be evicted when the pool is needed for others, and in which order."""

from turnout.framework import QueuedRequest


class PriorityThenTimeEvictionOrderPolicy:
    """The lowest priority goes first; of equals the one dispatched last, which has the least work to lose."""

    def eviction_rank(self, item: QueuedRequest, dispatched_at: float) -> tuple[float, ...]:
        return item.request.priority, -dispatched_at


class SheddableEvictionFilter:
    """Only requests of a priority below 0 may be evicted."""

    def evictable(self, item: QueuedRequest) -> bool:
        return item.request.priority < 0
