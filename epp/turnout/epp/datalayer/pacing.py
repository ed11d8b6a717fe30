"""When to scrape what. Pure: time and randomness are passed in.

Theory of operation: fetching and reading a page of an engine costs 0.4 to 1 ms of CPU, so 100 endpoints at the
default interval of 50 ms would cost more than a core, on the event loop that schedules requests. The interval
is therefore what a *busy* endpoint is scraped at, one with requests in flight, running or waiting. A quiet
endpoint shares ``QUIET_SCRAPES_PER_SECOND`` with all others: a small pool (5 endpoints at 50 ms) is always
scraped at the full rate, 100 quiet endpoints each 1 s. This loses little: a quiet endpoint's load cannot
change through us without making it busy at once, and only other routers' requests are seen later. Busy or
not, all endpoints together get ``SCRAPES_PER_SECOND``; beyond that the most overdue go first, and the
count of requests in flight, which is exact at any time, bridges the longer gaps.

A failing endpoint is asked at twice the distance after each failure, up to ``PROBE_SECONDS``.
"""

from collections.abc import Iterable
from math import ceil, inf
from random import Random
from typing import TypeVar

SCRAPES_PER_SECOND = 300.0
QUIET_SCRAPES_PER_SECOND = 100.0
PROBE_SECONDS = 1.0
_JITTER = 0.1

T = TypeVar("T")


class Pace:
    """When one endpoint is next due at one source. ``interval`` in seconds is the fastest it may go."""

    __slots__ = ("_begun", "_due", "_interval", "_rng", "_running", "_step", "_urgent")

    def __init__(self, interval: float, now: float, rng: Random) -> None:
        self._interval = interval
        self._rng = rng
        self._step = interval
        self._due = now + rng.uniform(0.0, interval)
        self._begun = now
        self._running = False
        self._urgent = True  # never scraped

    def due(self, *, busy: bool, sharers: int) -> float:
        """When the next scrape should begin; infinite while one is under way. ``sharers`` counts all paces."""
        if self._running:
            return inf
        if busy or self._urgent:
            return self._due
        return self._due - self._step + max(self._step, sharers / QUIET_SCRAPES_PER_SECOND)

    def begun(self, now: float) -> None:
        """A scrape is under way."""
        self._begun = now
        self._running = True

    def ended(self, now: float, *, ok: bool) -> None:
        """The scrape is over; the next begins a step after this one began, or after it failed, give or take a tenth."""
        self._running = False
        longer = min(2.0 * self._step, max(PROBE_SECONDS, self._interval))
        self._step = self._interval if ok else longer
        since = self._begun if ok else now
        self._due = since + self._step * self._rng.uniform(1.0 - _JITTER, 1.0 + _JITTER)
        self._urgent = not ok


def most_overdue(due: Iterable[tuple[float, T]], until: float, round_seconds: float) -> list[T]:
    """What to scrape in a round that ends at ``until``: what is due by then, the longest overdue first.

    At least one, and otherwise no more than ``SCRAPES_PER_SECOND`` allows.
    """
    waiting = sorted((pair for pair in due if pair[0] <= until), key=lambda pair: pair[0])
    return [item for _, item in waiting[: max(1, ceil(SCRAPES_PER_SECOND * round_seconds))]]
