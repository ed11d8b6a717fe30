"""A switch that does not follow every wobble of what it looks at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """On at ``enter`` or more, off below ``leave``, and as it was in between.

    Raises:
        ValueError: not 0 <= ``leave`` < ``enter`` < infinity.
    """

    enter: float
    leave: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.leave < self.enter < float("inf"):
            given = f"leave {self.leave} and enter {self.enter}"
            raise ValueError(f"leave must be at least 0 and below enter, which must be finite, got {given}")


class HysteresisSwitch:
    """Off at first."""

    __slots__ = ("_thresholds", "is_on")

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self.is_on = False

    def see(self, value: float) -> bool:
        """Whether it is on after this value; NaN changes nothing."""
        if value >= self._thresholds.enter:
            self.is_on = True
        elif value < self._thresholds.leave:
            self.is_on = False
        return self.is_on
