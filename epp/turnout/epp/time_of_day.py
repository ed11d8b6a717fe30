"""The time of day of the machine, for the clock that plugins are given."""

import time
from collections.abc import Callable

from turnout.framework import WallClock


def unix_at_zero(clock: Callable[[], float]) -> float:
    """The time of the machine, in seconds since 1970, when this clock was at 0."""
    return time.time() - clock()


def machine_clock() -> WallClock:
    """A clock that is right for ``time.monotonic`` until the machine's time is set."""
    return WallClock(unix_at_zero(time.monotonic))
