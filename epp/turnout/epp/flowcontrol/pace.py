"""How fast requests leave the queue, and so how long one more would wait."""

from collections import deque

SAMPLES = 64
HORIZON_SECONDS = 60.0


class Pace:
    """The rate of the last 64 dispatches at which requests were waiting, at most a minute old."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=SAMPLES)

    def dispatched(self, now: float) -> None:
        """A request that had waited went to an endpoint."""
        self._times.append(now)

    def rate(self, now: float) -> float | None:
        """Dispatches per second; None until there were two within the horizon.

        The time since the last one counts, so that the rate falls while nothing leaves.
        """
        times = self._times
        while times and now - times[0] > HORIZON_SECONDS:
            times.popleft()
        if len(times) < 2 or now <= times[0]:
            return None
        return (len(times) - 1) / (now - times[0])

    def expected_wait(self, ahead: int, now: float) -> float | None:
        """Seconds until so many others and then this one have left; None as long as the rate is unknown."""
        rate = self.rate(now)
        return None if rate is None else (ahead + 1) / rate
