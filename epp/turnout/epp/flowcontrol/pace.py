"""How fast requests leave a lane, and so how long one more would wait.

The estimate. A lane from which R requests a second leave while some wait serves one of priority p after the ``ahead``
that wait before it, and after those of a higher priority that come meanwhile. With H of these a second that takes
``(ahead + 1) / (R - H)`` seconds. H is what has come lately, or what has left if that is less: of those that come some
may never get to leave. Where nothing remains for p, what is known is that none has left in the time that was watched,
so at most one in that time is expected.

Priorities are the requests' own: one that aged past p was waiting when the request came, and is counted in ``ahead``.
"""

import math
from collections import deque

SAMPLES = 128
HORIZON_SECONDS = 60.0


class Pace:
    """The last 128 arrivals and dispatches of a lane, at most a minute old. Times are seconds on one clock.

    Dispatches are timed by a clock that stands while nobody waits, for then they tell what was asked for and not what
    the endpoints can do.
    """

    def __init__(self) -> None:
        self._arrivals = _Meter()
        self._dispatches = _Meter()
        self._waited_before = 0.0
        self._waiting_since: float | None = None

    def waiting(self, now: float, *, some: bool) -> None:
        """Tells whether requests wait; to be called whenever that may have changed."""
        if some == (self._waiting_since is not None):
            return
        self._waited_before = self._waited(now)
        self._waiting_since = now if some else None

    def arrived(self, priority: int, now: float) -> None:
        """A request has come in."""
        self._arrivals.add(now, now, priority)

    def dispatched(self, priority: int, now: float) -> None:
        """A request went to an endpoint; counts only while requests wait, it being one of them or not."""
        if self._waiting_since is not None:
            self._dispatches.add(now, self._waited(now), priority)

    def expected_wait(self, ahead: int, now: float, priority: float = math.inf) -> float | None:
        """Seconds until so many others and then one of this priority have left; None as long as nothing is known."""
        watched = self._dispatches.span(self._waited(now), now)
        if watched <= 0.0:
            return None
        left = self._dispatches.count()
        left_above = self._dispatches.count(above=priority)
        arriving = self._arrivals.span(now, now)
        came_above = self._arrivals.count(above=priority) / arriving * watched if arriving > 0.0 else 0.0
        remaining = max(1.0, left - min(left_above, came_above))
        return (ahead + 1) * watched / remaining

    def _waited(self, now: float) -> float:
        since = self._waiting_since
        return self._waited_before + (0.0 if since is None else now - since)


class _Meter:
    """Events by when they were, by a second clock and by the priority they had. The first one starts the count."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, float, int]] = deque(maxlen=SAMPLES + 1)

    def add(self, now: float, reading: float, priority: int) -> None:
        self._events.append((now, reading, priority))

    def span(self, reading: float, now: float) -> float:
        """Seconds on the second clock since the first event that is not too old; 0.0 unless others came after it."""
        events = self._events
        while events and now - events[0][0] > HORIZON_SECONDS:
            events.popleft()
        return reading - events[0][1] if len(events) > 1 else 0.0

    def count(self, above: float | None = None) -> int:
        """The events after the first one, all of them or those of a higher priority."""
        others = iter(self._events)
        next(others, None)
        return sum(above is None or priority > above for _, _, priority in others)
