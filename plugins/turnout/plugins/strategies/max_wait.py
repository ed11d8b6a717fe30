"""The wait after which a request goes next, whatever else speaks against it."""

from datetime import timedelta

from turnout.framework import NEVER, QueuedRequest

DEFAULT_MAX_WAIT = timedelta(seconds=60)


class MaxWait:
    """Tells when requests are overdue; zero means never.

    Overdue requests go before all others and in the order in which they became overdue, so one that has waited
    ``max_wait`` goes next but for those that became overdue before it. With one ``max_wait`` for all, these are among
    the requests that came before it.

    Raises:
        ValueError: the wait is negative; the message names it by ``parameter``.
    """

    __slots__ = ("_seconds",)

    def __init__(self, max_wait: timedelta, parameter: str = "max_wait") -> None:
        if max_wait < timedelta():
            raise ValueError(f"{parameter} must be at least 0s, got {max_wait}")
        self._seconds = max_wait.total_seconds() or NEVER

    def overdue_at(self, item: QueuedRequest) -> float:
        """When the request goes next, in seconds on the clock of ``enqueued_at``."""
        return item.enqueued_at + self._seconds

    def reason(self, item: QueuedRequest, now: float) -> str:
        """The same in words; empty for a request that is not overdue."""
        if now < self.overdue_at(item):
            return ""
        return f"waited the {self._seconds:.3g} s after which a request goes next"
