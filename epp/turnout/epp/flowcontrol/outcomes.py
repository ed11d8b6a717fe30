"""How a request's wait can end, and what its client is told."""

from enum import StrEnum

from turnout.framework import Refusal, RefusalKind

SATURATED = "rejected-saturated"
EXPIRED = "rejected-ttl-expired"
NO_ENDPOINTS = "rejected-no-endpoints"
SHUTTING_DOWN = "rejected-shutting-down"
EVICTED = "evicted"


class Outcome(StrEnum):
    """The field's outcomes; the values label metrics."""

    DISPATCHED = "Dispatched"
    REJECTED_CAPACITY = "RejectedCapacity"
    REJECTED_NO_ENDPOINTS = "RejectedNoEndpoints"
    REJECTED_OTHER = "RejectedOther"
    EVICTED_TTL = "EvictedTTL"
    EVICTED_NO_ENDPOINTS = "EvictedNoEndpoints"
    EVICTED_CONTEXT_CANCELLED = "EvictedContextCancelled"
    EVICTED_OTHER = "EvictedOther"


def over_capacity(limit: str) -> Refusal:
    """A request that found the queue full; ``limit`` names the bound and its value."""
    message = f"request rejected by flow control: {limit}"
    return Refusal(RefusalKind.RESOURCE_EXHAUSTED, message, SATURATED, retry_after_seconds=1.0)


def pool_is_empty(limit: str) -> Refusal:
    """A request that found the queue full while there is no endpoint."""
    return Refusal(RefusalKind.UNAVAILABLE, f"no endpoints available: {limit}", NO_ENDPOINTS)


def expired(waited_seconds: float, *, pool_empty: bool) -> Refusal:
    """A request whose time in the queue is over."""
    waited = f"waited {waited_seconds:.3f} s"
    if pool_empty:
        message = f"request timed out in queue and no endpoints are available: {waited}"
        return Refusal(RefusalKind.UNAVAILABLE, message, NO_ENDPOINTS)
    return Refusal(RefusalKind.RESOURCE_EXHAUSTED, f"request timed out in queue: {waited}", EXPIRED)


STOPPING = Refusal(RefusalKind.UNAVAILABLE, "flow controller shutting down: the request was queued", SHUTTING_DOWN)
SHEDDABLE_DROPPED = Refusal(
    RefusalKind.RESOURCE_EXHAUSTED, "system saturated, sheddable request dropped", SATURATED, retry_after_seconds=1.0
)
EVICTED_WHILE_RUNNING = Refusal(
    RefusalKind.RESOURCE_EXHAUSTED, "request evicted by flow control", EVICTED, retry_after_seconds=1.0
)
