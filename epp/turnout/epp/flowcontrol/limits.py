"""How many requests and bytes wait, in all and by priority, against their limits."""

from dataclasses import dataclass
from datetime import timedelta

from turnout.config import BandSettings, FlowControlSettings
from turnout.framework import NEVER


@dataclass(slots=True)
class Amount:
    """Requests and the bytes of their bodies."""

    requests: int = 0
    size_bytes: int = 0


class Limits:
    """Counts by the request's own priority, whatever its effective one.

    ``request_ttl`` and ``no_endpoint_ttl`` are the times to live in seconds, infinite where there is none.
    A band is full at its limit; a request larger than all that is allowed is refused, however empty the queue is.
    """

    def __init__(self, settings: FlowControlSettings) -> None:
        self.settings = settings
        self.request_ttl = _seconds(settings.default_request_ttl)
        self.no_endpoint_ttl = _seconds(settings.no_endpoint_request_ttl)
        self.total = Amount()
        self.by_priority: dict[int, Amount] = {}
        self.deferred: dict[int, int] = {}
        """The requests by priority that do not stand in line yet; they are part of all that waits."""

    def band(self, priority: int) -> BandSettings:
        """The settings of a priority: its own band, or the template for its sign."""
        settings = self.settings
        found = settings.bands.get(priority)
        if found is not None:
            return found
        return settings.default_negative_band if priority < 0 else settings.default_band

    def waiting(self, priority: int) -> Amount:
        """What waits of a priority."""
        return self.by_priority.get(priority) or Amount()

    def refusal(self, priority: int, size_bytes: int) -> str:
        """The limit that one more request would pass, in words; empty if none."""
        settings, band = self.settings, self.band(priority)
        waiting = self.waiting(priority)
        checks = (
            ("maxRequests", settings.max_requests, self.total.requests + 1),
            ("maxBytes", settings.max_bytes, self.total.size_bytes + size_bytes),
            (f"maxRequests of priority {priority}", band.max_requests, waiting.requests + 1),
            (f"maxBytes of priority {priority}", band.max_bytes, waiting.size_bytes + size_bytes),
        )
        for name, limit, would_be in checks:
            if limit is not None and would_be > limit:
                return f"{name} is {limit}"
        return ""

    def fill(self, priority: int) -> float:
        """The fullest of the limits that apply to a priority; 1.0 is full."""
        settings, band = self.settings, self.band(priority)
        waiting = self.waiting(priority)
        shares = [waiting.requests / band.max_requests, waiting.size_bytes / band.max_bytes]
        if settings.max_requests:
            shares.append(self.total.requests / settings.max_requests)
        if settings.max_bytes:
            shares.append(self.total.size_bytes / settings.max_bytes)
        return max(shares)

    @property
    def in_line(self) -> int:
        """How many requests wait for their turn."""
        return self.total.requests - sum(self.deferred.values())

    def defer(self, priority: int) -> None:
        """One that waits does not stand in line."""
        self.deferred[priority] = self.deferred.get(priority, 0) + 1

    def undefer(self, priority: int) -> None:
        """One that was deferred stands in line, or leaves."""
        left = self.deferred.pop(priority) - 1
        if left:
            self.deferred[priority] = left

    def add(self, priority: int, size_bytes: int) -> None:
        """One more waits."""
        waiting = self.by_priority.setdefault(priority, Amount())
        for amount in (self.total, waiting):
            amount.requests += 1
            amount.size_bytes += size_bytes

    def remove(self, priority: int, size_bytes: int) -> None:
        """One less waits."""
        waiting = self.by_priority[priority]
        for amount in (self.total, waiting):
            amount.requests -= 1
            amount.size_bytes -= size_bytes
        if not waiting.requests:
            del self.by_priority[priority]


def _seconds(ttl: timedelta | None) -> float:
    return NEVER if ttl is None else ttl.total_seconds()
