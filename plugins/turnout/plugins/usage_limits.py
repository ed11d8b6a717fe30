"""How much saturation each priority may see before its requests are held back."""

from collections.abc import Sequence
from math import floor
from typing import Literal


class StaticUsageLimitPolicy:
    """Holds every priority back from the saturation ``threshold`` on.

    Raises:
        ValueError: the threshold is not positive and finite.
    """

    def __init__(self, threshold: float = 1.0) -> None:
        if not 0.0 < threshold < float("inf"):
            raise ValueError(f"threshold must be positive and finite, got {threshold}")
        self._threshold = threshold

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        return [self._threshold] * len(priorities)


class PriorityHoldbackPolicy:
    """Holds low priorities back earlier: the lowest from ``min_ceiling`` on, the highest from ``max_ceiling`` on.

    Those in between lie on a straight line (``shape``), by their place among the priorities (``domain`` ``rank``) or
    by their distance from the highest and the lowest (``value``). A single priority has ``max_ceiling``.

    Raises:
        ValueError: ``min_ceiling`` is not within [0, 1), ``max_ceiling`` not within (0, 1], or the former is not below
            the latter.
    """

    def __init__(
        self,
        min_ceiling: float,
        max_ceiling: float = 1.0,
        shape: Literal["linear"] = "linear",
        domain: Literal["rank", "value"] = "rank",
    ) -> None:
        if not 0.0 <= min_ceiling < 1.0:
            raise ValueError(f"min_ceiling must be at least 0 and below 1, got {min_ceiling}")
        if not 0.0 < max_ceiling <= 1.0:
            raise ValueError(f"max_ceiling must be above 0 and at most 1, got {max_ceiling}")
        if not min_ceiling < max_ceiling:
            raise ValueError(f"min_ceiling must be below max_ceiling, got {min_ceiling} and {max_ceiling}")
        self._highest = max_ceiling
        self._spread = max_ceiling - min_ceiling
        self._by_rank = domain == "rank"

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        places: Sequence[int] = range(len(priorities))
        if not self._by_rank:
            places = [priorities[0] - priority for priority in priorities]
        # A single priority lies nowhere between highest and lowest.
        whole = max(places, default=0) or 1
        return [self._highest - self._spread * (place / whole) for place in places]


class SoftReflectiveCeilingPolicy:
    """Throttles low priorities step by step: the fuller the pool is, the more of the dispatch cycles they miss.

    A call is one dispatch cycle. With n priorities the one at place i (0 is the highest) is throttled once saturation
    s reaches ``1 - i * s / (n - 1)``. Throttled ones have the ceiling 1 in one cycle of every ``round(s / (1 - s))``
    (halves up) and 0 in the others; all have it in the same cycle, because a band that is held back holds back those
    below it. The highest always has 1. So nothing is held back below 0.5, where the lowest priority is the first to be
    throttled; up to 0.6 it misses no cycle; and from 1 on every priority but the highest has 0.

    Its state is one number: the cycles since the last one in which throttled priorities could go.
    """

    def __init__(self) -> None:
        self._missed = 0

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        lowest = len(priorities) - 1
        # Ceilings fall with the place, so nobody is throttled unless the last one is.
        if lowest < 1 or saturation < 1.0 - saturation:
            return [1.0] * len(priorities)
        throttled = 1.0 if self._may_go(saturation) else 0.0
        return [
            throttled if place and saturation >= 1.0 - saturation * (place / lowest) else 1.0
            for place in range(len(priorities))
        ]

    def _may_go(self, saturation: float) -> bool:
        """Counts the cycle; whether it is one in which throttled priorities may go."""
        if saturation >= 1.0:
            return False
        self._missed += 1
        if self._missed < floor(saturation / (1.0 - saturation) + 0.5):
            return False
        self._missed = 0
        return True
