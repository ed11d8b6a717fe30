"""What all strategies are, and what their reasons say."""

from typing import Protocol

from turnout.framework import EffectivePriority, QueuedRequest


class Strategy(Protocol):
    """An ordering policy that places a request among all that wait, and can say why there."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        """The lowest rank of a band goes first; equal ranks go in order of arrival."""
        ...

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        """The band in which the request waits at this moment, and when it is overdue."""
        ...

    def reason(self, item: QueuedRequest, now: float) -> str:
        """A short sentence that says why the request has its place."""
        ...


def waited(item: QueuedRequest, now: float) -> str:
    """How long the request has waited, as reasons say it."""
    return f"waited {max(0.0, now - item.enqueued_at):.3g} s"
