"""Dispatches whose end arrives in the proxy's access log."""

from collections import OrderedDict
from functools import partial

from turnout.epp.requests.dispatch import Dispatch, LoggedEnd
from turnout.framework import Termination

MAX_LEASES = 100_000
# The log is on another stream than the request: the end of a client that left at once may overtake the decision.
MAX_EARLY_ENDS = 10_000


class LeaseBook:
    """Finds a dispatch by its lease.

    One whose end is lost is given up after a time limit, or when 100,000 wait. Of ends that find no dispatch the
    latest 10,000 are kept (about 4 MiB), for a dispatch that comes after its end.
    """

    def __init__(self, time_limit_seconds: float = 3600.0, capacity: int = MAX_LEASES) -> None:
        self._time_limit_seconds = time_limit_seconds
        self._capacity = capacity
        self._waiting: OrderedDict[str, tuple[float, Dispatch]] = OrderedDict()
        self._early: OrderedDict[str, LoggedEnd] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, dispatch: Dispatch, now: float) -> None:
        """Keeps the dispatch until its end, however it comes; ends it at once if its end was here before."""
        lease = dispatch.routed.lease
        early = self._early.pop(lease, None)
        if early is not None:
            dispatch.logged(early)
            return
        dispatch.add_end_listener(partial(self._waiting.pop, lease, None))
        self._waiting[lease] = (now, dispatch)
        while len(self._waiting) > self._capacity:
            self._give_up_oldest()

    def ended(self, lease: str, end: LoggedEnd) -> bool:
        """Ends the dispatch with this lease; False when there is none (any more, or yet)."""
        _, dispatch = self._waiting.pop(lease, (0.0, None))
        if dispatch is None:
            self._early[lease] = end
            if len(self._early) > MAX_EARLY_ENDS:
                self._early.popitem(last=False)
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
        dispatch.finish(Termination.LOST)
