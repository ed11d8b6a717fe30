"""Taking back running requests for waiting ones of a higher priority.

Theory of operation. When the next request of a lane is held back because the pool is saturated, as many running
requests of lower priorities are evicted as would bring the saturation under the ceiling, at most two at a time. Then
nothing more is evicted until the detector can have seen what that brought: a moment for one that counts what is in
flight, a scrape or two for one that reads the engines' metrics. Each eviction costs a client its answer, so that of the
requests which ran within the last minute at most a stated share is lost.
"""

import math
from collections import deque
from collections.abc import Iterable

from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.observer import EvictionObserver
from turnout.epp.flowcontrol.outcomes import EVICTED_WHILE_RUNNING
from turnout.epp.flowcontrol.turns import Held
from turnout.epp.requests.admission import RunningRequest
from turnout.framework import ExtensionPoint, QueuedRequest

MOST_AT_ONCE = 2
CONFIRMED_WITHIN_SECONDS = 10.0
SHARE_SECONDS = 60.0
FEEDBACK_SECONDS = 0.5
"""How long a detector takes to see that a request has ended, where it does not say: a scrape interval (50 ms), the age
that metrics may have (200 ms), and 250 ms."""


class Evictions:
    """The running requests that may be evicted, and those that were. ``observer`` and ``guard`` are told and used."""

    def __init__(self, settings: FlowControlSettings, observer: EvictionObserver, guard: Guard) -> None:
        self._settings = settings
        self._observer = observer
        self._guard = guard
        self._candidates: set[RunningRequest] = set()
        self._running = 0
        self._evicted: deque[float] = deque()
        self._asked_at = self._saturation = 0.0
        self._pending = 0
        self._quiet_until = 0.0
        self._feedback = _feedback_seconds(settings)

    def configure(self, settings: FlowControlSettings) -> None:
        """Decides by other settings from now on; what runs is kept."""
        self._settings = settings
        self._feedback = _feedback_seconds(settings)
        self._candidates = {each for each in self._candidates if self._may_evict(each.queued)}

    def running(self, request: RunningRequest) -> bool:
        """Takes note of a request that goes to its endpoint; whether it can be taken back."""
        evictable = self._may_evict(request.queued)
        self._running += 1
        if evictable:
            self._candidates.add(request)
        request.add_end_listener(lambda: self._ended(request))
        return evictable

    def made_room(self, now: float) -> None:
        """A waiting request was dispatched: there is room."""
        if self._pending:
            self._confirm(now, in_time=True)

    def make_room(self, held: Iterable[Held], in_flight: int, now: float) -> int:
        """Evicts for the highest of what is held back, if that may help; returns how many requests were taken back."""
        saturated = [each for each in held if each.saturation >= each.ceiling]
        if not saturated or not self._settings.enable_eviction:
            return 0
        first = max(saturated, key=lambda each: each.priority)
        self._look_at(first, now)
        if self._pending or now < self._quiet_until or not self._candidates or not in_flight:
            return 0
        target = _needed(first, in_flight)
        taken = self._take_back(first.priority, min(target, MOST_AT_ONCE, self._allowance(now)), now)
        if taken:
            self._pending, self._asked_at, self._saturation = taken, now, first.saturation
            self._quiet_until = now + self._feedback
            self._observer.reclaiming(target, taken)
        return taken

    def _look_at(self, held: Held, now: float) -> None:
        """Whether what was taken back shows by now."""
        if not self._pending or now < self._quiet_until:
            return
        if held.saturation < self._saturation:
            self._confirm(now, in_time=True)
        elif now - self._asked_at >= CONFIRMED_WITHIN_SECONDS:
            self._confirm(now, in_time=False)

    def _may_evict(self, item: QueuedRequest) -> bool:
        """By the filter; one that fails protects the request."""
        named = self._settings.eviction_filter
        if named is None:
            return False
        return self._guard.ask(
            named, ExtensionPoint.EVICTION, lambda policy: bool(policy.evictable(item)), instead=False
        )

    def _take_back(self, below: int, count: int, now: float) -> int:
        """Evicts so many of lower priorities, in their order, passing over those that cannot be taken back."""
        lower = [each for each in self._candidates if each.queued.request.priority < below] if count > 0 else []
        taken = 0
        for victim in sorted(lower, key=self._rank):
            priority = victim.queued.request.priority
            if victim.evict(EVICTED_WHILE_RUNNING):
                self._evicted.append(now)
                self._observer.revoked(priority)
                taken += 1
            if taken == count:
                break
        return taken

    def _rank(self, running: RunningRequest) -> tuple[float, ...]:
        item, dispatched_at = running.queued, running.dispatched_at
        plain = (float(item.request.priority), -dispatched_at)
        named = self._settings.eviction_order
        if named is None:
            return plain
        return self._guard.ask(
            named, ExtensionPoint.EVICTION, lambda policy: policy.eviction_rank(item, dispatched_at), plain
        )

    def _allowance(self, now: float) -> int:
        """How many more may be lost of those that ran within the last minute, as far as they are still known."""
        while self._evicted and now - self._evicted[0] > SHARE_SECONDS:
            self._evicted.popleft()
        ran = self._running + len(self._evicted)
        return math.floor(self._settings.max_evicted_share * ran + 1e-9) - len(self._evicted)

    def _confirm(self, now: float, *, in_time: bool) -> None:
        self._observer.confirmed(now - self._asked_at, in_time=in_time)
        self._pending = 0
        self._observer.reclaiming(0, 0)

    def _ended(self, request: RunningRequest) -> None:
        self._running -= 1
        self._candidates.discard(request)


def _feedback_seconds(settings: FlowControlSettings) -> float:
    # Detectors may say how soon they see that a request has ended.
    seconds: float = getattr(settings.detector.plugin, "feedback_seconds", FEEDBACK_SECONDS)
    return seconds


def _needed(held: Held, in_flight: int) -> int:
    """How many of the requests in flight have to end for the saturation to fall under the ceiling."""
    each = held.saturation / in_flight
    if not math.isfinite(each) or each <= 0.0:
        return 1
    # At the ceiling itself a request is held back, too.
    return max(1, math.ceil((held.saturation - held.ceiling) / each))
