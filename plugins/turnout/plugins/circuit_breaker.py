"""Leaves a service alone that keeps failing."""

FAILURES_TO_OPEN = 3
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0


class CircuitBreaker:
    """Opens after 3 failures in a row: then one call is let through after 5 s, and after twice as long, up to 60 s,
    each time that it fails as well. A success closes it. Times are in seconds on one clock.
    """

    __slots__ = ("_failures", "_next_trial_at", "_pause_seconds", "_trial_began_at")

    def __init__(self) -> None:
        self._failures = 0
        self._next_trial_at = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._trial_began_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are withheld."""
        return self._failures >= FAILURES_TO_OPEN

    def allows(self, now: float) -> bool:
        """Whether to call; a call that is allowed while the breaker is open counts as the trial."""
        if not self.is_open:
            return True
        if now < self._next_trial_at:
            return False
        # Should nobody hear of the trial's end, the next one comes after the same pause.
        self._next_trial_at = now + self._pause_seconds
        self._trial_began_at = now
        return True

    def succeeded(self) -> None:
        """Closes the breaker."""
        self._failures = 0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def failed(self, began_at: float, now: float) -> None:
        """Counts the failure of a call that ``allows`` let through at ``began_at``.

        While the breaker is open only the trial's failure counts: the others began before it opened.
        """
        if not self.is_open:
            self._failures += 1
            self._next_trial_at = now + self._pause_seconds
        elif began_at == self._trial_began_at:
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            self._next_trial_at = now + self._pause_seconds
