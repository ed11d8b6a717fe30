"""Which shares of the last dispatches went where, and whether one more keeps to a limit.

The invariant. Of the last ``window`` dispatches, or of all while there have been fewer, those of one kind are at most
the limit times their number, at every moment: one more is allowed only if that holds after it, and what goes elsewhere
only makes it hold better. It depends on nobody being dispatched between the question and the count, which is so in a
cycle.
"""

from collections import Counter, deque

# Of binary fractions: 0.29 times 100 is 28.999999999999996.
_ROUNDING = 1e-9


class RecentShares:
    """Counts dispatches by kind. A kind is any text; "" is a kind as well."""

    def __init__(self, window: int) -> None:
        self._kinds: deque[str] = deque(maxlen=window)
        self._counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """One more dispatch."""
        if len(self._kinds) == self._kinds.maxlen:
            self._forget(self._kinds[0])
        self._kinds.append(kind)
        self._counts[kind] += 1

    def allows(self, kind: str, limit: float) -> bool:
        """Whether one more dispatch of the kind leaves its share at the limit or below."""
        count, total = self._counts[kind] + 1, len(self._kinds) + 1
        if total > (self._kinds.maxlen or 0):
            total -= 1
            count -= self._kinds[0] == kind
        return count <= limit * total + _ROUNDING

    def share(self, kind: str) -> float:
        """The kind's share; 0 before the first dispatch."""
        return self._counts[kind] / len(self._kinds) if self._kinds else 0.0

    def _forget(self, kind: str) -> None:
        self._counts[kind] -= 1
        if not self._counts[kind]:
            del self._counts[kind]
