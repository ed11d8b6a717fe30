"""Order the requests of one flow: by arrival, by deadline, or by the time at which the first token is due."""

from turnout.framework import NEVER, QueuedRequest


class FcfsOrderingPolicy:
    """First come, first served."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at


class EdfOrderingPolicy:
    """The earliest deadline first; requests without any come last, in order of arrival."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.deadline


class SloDeadlineOrderingPolicy:
    """The request whose first token is due first: arrival plus TTFT target. Those without a target come last."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        request = item.request
        return NEVER if request.ttft_target is None else request.received_at + request.ttft_target
