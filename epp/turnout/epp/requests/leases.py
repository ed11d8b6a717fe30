"""Dispatches whose end arrives in the proxy's access log."""

from collections import OrderedDict

from turnout.epp.requests.dispatch import Dispatch, LoggedEnd
from turnout.framework import Termination

MAX_LEASES = 100_000


class LeaseBook:
    """Finds a dispatch by its lease. One whose end is lost is given up after a time limit, or when 100,000 wait."""

    def __init__(self, time_limit_seconds: float = 3600.0, capacity: int = MAX_LEASES) -> None:
        self._time_limit_seconds = time_limit_seconds
        self._capacity = capacity
        self._waiting: OrderedDict[str, tuple[float, Dispatch]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, dispatch: Dispatch, now: float) -> None:
        """Keeps the dispatch until its end."""
        self._waiting[dispatch.routed.lease] = (now, dispatch)
        while len(self._waiting) > self._capacity:
            self._give_up_oldest()

    def ended(self, lease: str, end: LoggedEnd) -> bool:
        """Ends the dispatch with this lease; False when there is none (any more)."""
        _, dispatch = self._waiting.pop(lease, (0.0, None))
        if dispatch is None:
            return False
        dispatch.logged(end)
        return True

    def sweep(self, now: float) -> int:
        """Gives up what has waited longer than the time limit; returns how many."""
        given_up = 0
        while self._waiting:
            added_at, _ = next(iter(self._waiting.values()))
            if now - added_at < self._time_limit_seconds:
                break
            self._give_up_oldest()
            given_up += 1
        return given_up

    def _give_up_oldest(self) -> None:
        _, (_, dispatch) = self._waiting.popitem(last=False)
        dispatch.finish(Termination.ERROR)
