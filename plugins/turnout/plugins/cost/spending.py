"""What was spent in the last hour, and what is reserved beside it.

Theory of operation. A cost is reserved when a request is dispatched, and in the place of the reservation comes what the
request really cost, when it has ended; that counts until it is an hour old. Amounts are whole numbers of billionths of
the currency, because sums of fractions drift. The hour slides in slices: a cost counts until all of its slice is older
than the hour, which is at most one slice longer.

The bound. Let O be the sum, over the costs that count, of what each exceeds its reservation by. If nothing is reserved
unless it fits, reserved + spent <= limit + O at any time. A reservation leaves the left side at most at the limit. An
end adds cost - reservation to it, and O grows by the same or, where the cost is lower, by 0. What gets too old takes
its cost from the left side, and from O no more than that. So with reservations that no cost exceeds, the limit holds;
and, because all costs of any hour count at its end, the same holds for what is spent in any hour.
"""

import math
from collections import deque

UNITS = 10**9
"""Amounts for one unit of the currency."""

MAX_COST = 1e12
"""A cost or a budget that is larger counts as this."""

WINDOW_SECONDS = 3600.0
SLICE_SECONDS = 60.0


def amount_of(cost: float) -> int:
    """The cost as an amount, rounded up; one below 0 is 0."""
    return 0 if cost <= 0.0 else math.ceil(min(cost, MAX_COST) * UNITS)


class Spending:
    """One budget's account. ``limit`` is an amount, None for no limit. Times are in seconds and never go back."""

    __slots__ = ("_ends", "limit", "overrun", "reserved", "spent")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.reserved = 0
        self.spent = 0
        self.overrun = 0
        # Of each slice in which something was spent its number, the sum, and what that exceeds the reservations by.
        self._ends: deque[tuple[int, int, int]] = deque()

    def is_empty(self, now: float) -> bool:
        """Whether nothing counts any more, and nothing is reserved."""
        self.forget(now)
        return not self.spent and not self.reserved

    def left(self, now: float) -> int | None:
        """How much can be reserved, which may be less than nothing; None without a limit."""
        if self.limit is None:
            return None
        self.forget(now)
        return self.limit - self.spent - self.reserved

    def fits(self, amount: int, now: float) -> bool:
        """Whether so much can be reserved."""
        left = self.left(now)
        return left is None or amount <= left

    def reserve(self, amount: int) -> None:
        """Takes the amount, whether it fits or not."""
        self.reserved += amount

    def settle(self, reservation: int, cost: int, now: float) -> None:
        """Puts the cost in the place of a reservation, once for each."""
        self.forget(now)
        self.reserved -= reservation
        if not cost:
            return
        over = max(0, cost - reservation)
        self.spent += cost
        self.overrun += over
        number = math.floor(now / SLICE_SECONDS)
        if self._ends and self._ends[-1][0] >= number:
            number, sum_so_far, over_so_far = self._ends.pop()
            cost, over = sum_so_far + cost, over_so_far + over
        self._ends.append((number, cost, over))

    def seconds_until(self, amount: int, now: float) -> float | None:
        """How long until so much fits, if nothing else is reserved; None if it never will.

        What others have reserved may be given back at any time: where it takes that, a slice.
        """
        if self.limit is None or self.fits(amount, now):
            return 0.0
        if amount > self.limit:
            return None
        missing = self.spent + self.reserved + amount - self.limit
        for number, cost, _ in self._ends:
            missing -= cost
            if missing <= 0:
                return max(0.0, _end_of(number) - now)
        return SLICE_SECONDS

    def forget(self, now: float) -> None:
        """Drops what does not count any more."""
        while self._ends and _end_of(self._ends[0][0]) <= now:
            _, cost, over = self._ends.popleft()
            self.spent -= cost
            self.overrun -= over


def _end_of(number: int) -> float:
    """When all of a slice is older than the window."""
    return (number + 1) * SLICE_SECONDS + WINDOW_SECONDS
