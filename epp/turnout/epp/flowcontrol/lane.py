"""Requests that the same endpoints can serve: bands by effective priority, and those that are overdue."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from turnout.epp.flowcontrol.band import Band
from turnout.epp.flowcontrol.entry import Entry

# A band without requests is kept, for it comes back with the next request; priorities are few, but nothing forces them.
MAX_IDLE_BANDS = 64


class Lane:
    """One queue. ``make_band`` gives a band for an effective priority.

    ``pool_empty`` says that no endpoint could serve the lane, and ``regime_since`` since when that is as it is.
    """

    def __init__(self, name: str, make_band: Callable[[int], Band], now: float) -> None:
        self.name = name
        self.length = 0
        self.pool_empty = False
        self.regime_since = now
        self._make_band = make_band
        self._bands: dict[int, Band] = {}
        self._waiting_priorities: list[int] = []
        self._ticks = count()
        self._overdue: list[tuple[float, int, int, Entry]] = []

    def add(self, entry: Entry, now: float) -> None:
        """Lets an entry wait in the band of its effective priority."""
        band = self._bands.get(entry.band) or self._new_band(entry.band)
        if not band.length:
            insort(self._waiting_priorities, entry.band)
        band.add(entry, now)
        self.length += 1

    def discard(self, entry: Entry, now: float) -> None:
        """Takes out an entry that goes somewhere else; it still has its request."""
        band = self._bands[entry.band]
        band.discard(entry, now)
        self._left(band)

    def dispatch(self, entry: Entry, now: float) -> None:
        """Takes out an entry that goes to an endpoint; it still has its request."""
        band = self._bands[entry.band]
        band.dispatch(entry, now)
        self._left(band)

    def mark_overdue(self, entry: Entry) -> None:
        """From now on the entry goes before all that are not overdue."""
        heappush(self._overdue, (entry.overdue_at, entry.sequence, next(self._ticks), entry))

    def first_overdue(self) -> Entry | None:
        """The one that has been overdue longest."""
        while self._overdue:
            overdue_at, _, _, entry = self._overdue[0]
            if entry.queued and entry.overdue_at == overdue_at:
                return entry
            heappop(self._overdue)
        return None

    @property
    def highest(self) -> int:
        """The highest effective priority that has requests; there must be some."""
        return self._waiting_priorities[-1]

    @property
    def bands(self) -> Sequence[Band]:
        """The bands that have requests, highest first."""
        return [self._bands[priority] for priority in reversed(self._waiting_priorities)]

    def band(self, priority: int) -> Band:
        """The band of an effective priority that has requests."""
        return self._bands[priority]

    def ahead(self, priority: int) -> int:
        """How many requests wait at this effective priority or above."""
        at_least = self._waiting_priorities[bisect_left(self._waiting_priorities, priority) :]
        return sum(self._bands[each].length for each in at_least)

    def __iter__(self) -> Iterator[Entry]:
        for priority in self._waiting_priorities:
            yield from self._bands[priority]

    def _new_band(self, priority: int) -> Band:
        if len(self._bands) - len(self._waiting_priorities) >= MAX_IDLE_BANDS:
            self._bands = {each: band for each, band in self._bands.items() if band.length}
        band = self._bands[priority] = self._make_band(priority)
        return band

    def _left(self, band: Band) -> None:
        self.length -= 1
        if not band.length:
            self._waiting_priorities.remove(band.priority)
