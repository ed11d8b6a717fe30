"""Counts spot endpoints that were taken away."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from turnout.framework import Endpoint
from turnout.plugins.spot.interruptible import Interruptible

MAX_REMEMBERED = 1000


class Interruptions:
    """What was interrupted in the last ``window_seconds``, at most 1,000 times.

    A spot endpoint is interrupted when it leaves the pool, or gets a drain notice, once until it is back without one.
    Where the whole pool goes at once, it is taken for a failure of discovery and not counted. Watchers are told no
    time: what happened counts from the first question after it, which is the next request.
    """

    def __init__(self, spot: Interruptible, drain_label: str, window_seconds: float) -> None:
        self._spot = spot
        self._drain_label = drain_label
        self._window = window_seconds
        self._running: dict[str, str] = {}
        self._not_dated: list[str] = []
        self._dated: deque[tuple[float, str]] = deque(maxlen=MAX_REMEMBERED)
        self.total = 0

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Takes note of who is in the pool now."""
        running = {
            endpoint.name: self._spot.instance_type(endpoint)
            for endpoint in endpoints
            if self._spot.is_spot(endpoint) and self._drain_label not in endpoint.labels
        }
        if endpoints:
            gone = [kind for name, kind in self._running.items() if name not in running]
            self.total += len(gone)
            self._not_dated = (self._not_dated + gone)[-MAX_REMEMBERED:]
        self._running = running

    def by_instance_type(self, now: float) -> Mapping[str, int]:
        """How many there were in the window, by instance type."""
        self._date(now)
        return Counter(kind for _, kind in self._dated)

    def last_to_reach(self, limit: int, now: float) -> float | None:
        """When the newest of them happened, if there are at least ``limit`` in the window."""
        self._date(now)
        return self._dated[-1][0] if len(self._dated) >= limit else None

    def _date(self, now: float) -> None:
        if self._not_dated:
            self._dated.extend((now, kind) for kind in self._not_dated)
            self._not_dated = []
        while self._dated and now - self._dated[0][0] > self._window:
            self._dated.popleft()
