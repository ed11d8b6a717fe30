"""The last so many seconds, in slices that are forgotten one by one."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

SLICES = 12

T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """How many requests were judged, and how many of them broke the promise."""

    judged: int = 0
    violated: int = 0


class SlidingWindow(Generic[T]):
    """A value of each of the last 12 slices of time, the present one included, that has any.

    So the window is as long as it says, less at most a slice. Times are in seconds on one clock; a time before the
    latest one counts as the latest.
    """

    __slots__ = ("_latest", "_make", "_slices", "_width", "seconds")

    def __init__(self, seconds: float, make: Callable[[], T]) -> None:
        self.seconds = seconds
        self._width = seconds / SLICES
        self._make = make
        self._latest = 0
        self._slices: deque[tuple[int, T]] = deque(maxlen=SLICES)

    def current(self, now: float) -> T:
        """The value of the present slice, to be changed."""
        latest = self._latest = self._index(now)
        if not self._slices or self._slices[-1][0] != latest:
            self._slices.append((latest, self._make()))
        return self._slices[-1][1]

    def values(self, now: float) -> list[T]:
        """The values in the window, the oldest first."""
        oldest = self._index(now) - SLICES
        return [value for index, value in self._slices if index > oldest]

    def _index(self, now: float) -> int:
        return max(self._latest, int(now // self._width))
