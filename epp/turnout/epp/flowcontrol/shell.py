"""The asyncio shell of flow control: requests wait in it as coroutines.

Theory of operation. A turn is looked for when a request comes in, when the load of an endpoint changes, when something
in the queue is due, and every few milliseconds while requests stand in line, for detectors and limits may depend on the
time. Those that are deferred cause no looks but at the times when they are to be asked about.
One look dispatches at most one request. What was dispatched still counts as pending until it has been sent: its task
runs before the next look, so that the look finds it in flight; where a plugin makes it wait, the endpoints are shown as
if they had it already. While the queue is held back, looks are at least two milliseconds apart, since each of a
thousand endpoints reports its load twenty times a second.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol import outcomes
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.deadlines import deadline_of
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.eviction import Evictions
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.lane import Lane
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.observer import FlowObserver
from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.pace import Pace
from turnout.epp.flowcontrol.policies import Policies
from turnout.epp.flowcontrol.rules import LaneBook, served_by
from turnout.epp.flowcontrol.saturation import Saturation, SaturationGauge, with_pending
from turnout.epp.flowcontrol.turns import Held, LaneView, next_turn
from turnout.epp.requests.admission import GIVEN_UP, Admission, RunningRequest
from turnout.framework import (
    NEVER,
    CycleState,
    Endpoint,
    InferenceRequest,
    PluginError,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    WaitRecord,
)

TICK_SECONDS = 0.01
HELD_SECONDS = 0.002
DEFERRED_TICK_SECONDS = 3600.0


class Candidates(Protocol):
    """What flow control needs of the data layer's store."""

    def candidates(self) -> Sequence[Endpoint]:
        """The endpoints in service; immutable and shared."""
        ...


class FlowControl:
    """Requests enter, and go on when it is their turn. ``configure`` changes how that is decided.

    ``clock`` gives seconds, never backwards.
    """

    waits_for_endpoints = True

    def __init__(
        self,
        settings: FlowControlSettings,
        pool: Candidates,
        observer: FlowObserver,
        report: Callable[[PluginError], None],
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._observer = observer
        self._report = report
        self._clock = clock
        self._waiting: dict[Entry, asyncio.Future[None]] = {}
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._pending = 0
        self._closed = False
        self._look_soon = False
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._found: dict[str, Saturation] = {}
        limits = Limits(settings)
        self.controller = FlowController(limits, Policies(limits, report))
        self._evictions = Evictions(settings, observer, Guard(report))
        self._use(settings)

    @property
    def saturation(self) -> Saturation:
        """That of the fullest lane when somebody's turn was looked for last."""
        return max(self._found.values(), key=lambda found: found.effective, default=Saturation(0.0))

    @property
    def settings(self) -> FlowControlSettings:
        """The settings in use."""
        return self.controller.limits.settings

    def configure(self, settings: FlowControlSettings) -> None:
        """Decides by other settings from now on; what waits stays, in the order of the new ones."""
        if settings == self.settings:
            return
        self._use(settings)
        self._evictions.configure(settings)
        limits = Limits(settings)
        policies = Policies(limits, self._report)
        now = self._clock()
        self.controller.rebuild(limits, policies, self._lane_of, now)
        self._paces = defaultdict(Pace, {lane.name: self._paces[lane.name] for lane in self.controller.lanes})
        for name in self._paces:
            self._watch_pace(name, now)
        self._arm()
        self.wake()

    async def enter(
        self, request: InferenceRequest, state: CycleState, subset: tuple[str, ...] | None
    ) -> Admission | Refusal:
        """Returns when the request may go on, or why it may not.

        Raises:
            asyncio.CancelledError: the caller gave up; nothing of the request is left behind.
        """
        deadline = deadline_of(request)
        if isinstance(deadline, Refusal):
            return deadline
        entry = self._enqueue(QueuedRequest(request, self._clock(), deadline, state), subset)
        if isinstance(entry, Refusal):
            return entry
        self._look()
        refusal = self._outlook_refusal(entry) if entry.queued and entry.deferral is None else None
        if refusal is not None:
            self._end(entry, Outcome.REJECTED_CAPACITY, refusal)
            return refusal
        if entry.queued:
            await self._wait(entry)
        if entry.refusal is not None:
            return entry.refusal
        explain = partial(self._explain, entry, request, state, self._clock())
        since = entry.in_line_since if entry.in_line_since != entry.enqueued_at else None
        return Admission(self._settled, explain, entry.priority, since)

    def _explain(self, entry: Entry, request: InferenceRequest, state: CycleState, now: float) -> WaitRecord:
        deferred = entry.in_line_since - entry.enqueued_at
        came = entry.in_line_since if deferred else request.received_at
        request = replace(request, priority=entry.priority, received_at=came)
        item = QueuedRequest(request, entry.in_line_since, entry.deadline, state)
        before = f"deferred for {deferred:.1f} s; " if deferred else ""
        return WaitRecord(
            seconds=now - entry.enqueued_at,
            priority=entry.priority,
            effective_priority=entry.band,
            overdue=entry.overdue_at <= now,
            level=request.level,
            fairness_id=request.fairness_id,
            saturation=self._found.get(entry.lane, Saturation(0.0)).effective,
            reason=before + self.controller.policies.reason(item, entry.band, now),
        )

    def endpoints_for(self, request: InferenceRequest, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Those that serve the request's lane."""
        rule = self._book.rule_of(request)
        return endpoints if rule is None else served_by(rule, endpoints)

    def running(self, request: RunningRequest) -> bool:
        """Takes note of an admitted request that goes to its endpoint; whether it may be taken back."""
        return self.settings.enable_eviction and self._evictions.running(request)

    def wake(self) -> None:
        """The load of the pool has changed."""
        if not self.controller.in_line or self._look_soon:
            return
        loop = asyncio.get_running_loop()
        self._look_soon = True
        delay = self._held_until - self._clock()
        if delay > 0:
            loop.call_later(delay, self._look)
        else:
            loop.call_soon(self._look)

    def close(self) -> None:
        """Refuses everything that waits, and whatever comes."""
        self._closed = True
        for entry in list(self._waiting):
            self._end(entry, Outcome.EVICTED_OTHER, outcomes.STOPPING)

    def let_all_go(self) -> None:
        """Admits everything that waits: from now on nothing decides whose turn it is."""
        now = self._clock()
        for entry in list(self._waiting):
            self._dispatch(entry, now)

    def reprioritise(self, request_id: str, priority: int) -> str:
        """Gives the queued requests with this id another priority; returns why not, or an empty string."""
        found = [entry for entry in self._waiting if entry.queued and entry.waiting.request.request_id == request_id]
        if not found:
            return "no such request is queued"
        for entry in found:
            before, was_deferred, now = entry.waiting.request, entry.deferral is not None, self._clock()
            problem = self.controller.reprioritise(entry, priority, now)
            if problem:
                return problem
            if was_deferred and entry.deferral is None:
                self._lined_up(entry, now)
            self._observer.moved(before, entry.waiting.request)
        self._arm()
        self.wake()
        return ""

    def expected_wait(self) -> float | None:
        """Seconds that one more request of the lowest priority that waits would wait, in the slowest lane.

        None if that is unknown or nothing waits.
        """
        now = self._clock()
        waits = [
            self._paces[lane.name].expected_wait(lane.length, now, lane.bands[-1].priority)
            for lane in self.controller.lanes
        ]
        return max((wait for wait in waits if wait is not None), default=None)

    # --- entering ----------------------------------------------------------------------------------------

    def _use(self, settings: FlowControlSettings) -> None:
        self._book = LaneBook(settings.lanes, strict=settings.head_of_line == "strict")
        self._gauge = SaturationGauge(settings.detector, Guard(self._report))

    def _lane_of(self, entry: Entry) -> str:
        return self._book.lane_of(entry.waiting.request, entry.subset)

    def _enqueue(self, item: QueuedRequest, subset: tuple[str, ...] | None) -> Entry | Refusal:
        now = self._clock()
        request = item.request
        if self._closed:
            return self._refused_at_the_door(item, Outcome.REJECTED_OTHER, outcomes.STOPPING)
        lane = self._book.lane_of(request, subset)
        empty = not self._book.endpoints(lane, self._pool.candidates())
        if item.deadline <= now:
            refusal = outcomes.expired(now - request.received_at, pool_empty=empty)
            return self._refused_at_the_door(item, Outcome.EVICTED_TTL, refusal)
        limit = self.controller.limits.refusal(request.priority, request.size_bytes)
        if limit and empty:
            return self._refused_at_the_door(item, Outcome.REJECTED_NO_ENDPOINTS, outcomes.pool_is_empty(limit))
        if limit:
            return self._refused_at_the_door(item, Outcome.REJECTED_CAPACITY, outcomes.over_capacity(limit))
        entry = self.controller.add(item, lane, now, pool_empty=empty)
        entry.subset = subset
        if entry.deferral is None:
            self._paces[lane].arrived(entry.priority, now)
        self._observer.entered(request, self._clock() - now)
        return entry

    def _refused_at_the_door(self, item: QueuedRequest, outcome: Outcome, refusal: Refusal) -> Refusal:
        self._observer.left(item.request, outcome, 0.0, was_queued=False)
        return refusal

    def _outlook_refusal(self, entry: Entry) -> Refusal | None:
        if not self.settings.entry_policies:
            return None
        now = self._clock()
        lane = self.controller.lane_of(entry)
        ahead = lane.ahead(entry.band) - 1
        outlook = QueueOutlook(
            expected_wait=self._expected_wait(entry, lane, ahead, now),
            ahead=ahead,
            fill=self.controller.limits.fill(entry.priority),
            saturation=self._found[lane.name].effective,
        )
        return self.controller.policies.entry_refusal(entry, outlook, now)

    def _expected_wait(self, entry: Entry, lane: Lane, ahead: int, now: float) -> float | None:
        pace = self._paces[lane.name]
        expected = pace.expected_wait(ahead, now, entry.priority)
        if expected is None or entry.overdue_at == NEVER:
            return expected
        # Then it goes before all but those that are overdue longer, each of which waits already.
        once_overdue = pace.expected_wait(lane.length - 1, now)
        return expected if once_overdue is None else min(expected, max(0.0, entry.overdue_at - now) + once_overdue)

    def _watch_pace(self, lane_name: str, now: float) -> None:
        self._paces[lane_name].waiting(now, some=self.controller.waits_in(lane_name))

    def _lined_up(self, entry: Entry, now: float) -> None:
        """A deferred request stands in line: for its lane it comes at this moment."""
        self._paces[entry.lane].arrived(entry.priority, now)
        self._watch_pace(entry.lane, now)

    async def _wait(self, entry: Entry) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[entry] = future
        self._watch_pace(entry.lane, self._clock())
        self._arm()
        try:
            await future
        except asyncio.CancelledError:
            if entry.queued:
                self._end(entry, Outcome.EVICTED_CONTEXT_CANCELLED, GIVEN_UP)
            elif entry.refusal is None and not future.cancelled():
                self._settled()
            raise

    # --- leaving -----------------------------------------------------------------------------------------

    def _end(self, entry: Entry, outcome: Outcome, refusal: Refusal) -> None:
        """A queued request ends without a dispatch."""
        now = self._clock()
        item = self.controller.withdraw(entry, now)
        self._watch_pace(entry.lane, now)
        self._observer.left(item.request, outcome, now - entry.enqueued_at, was_queued=True)
        entry.refusal = refusal
        self._answer(entry)

    def _dispatch(self, entry: Entry, now: float) -> None:
        item = self.controller.dispatch(entry, now)
        self._pending += 1
        self._paces[entry.lane].dispatched(entry.priority, now)
        self._watch_pace(entry.lane, now)
        self._observer.left(item.request, Outcome.DISPATCHED, now - entry.enqueued_at, was_queued=True)
        self._answer(entry)

    def _answer(self, entry: Entry) -> None:
        future = self._waiting.pop(entry, None)
        if future is None:
            return
        if not future.done():
            future.set_result(None)
        elif entry.refusal is None:
            # Cancelled, and its task has not run since: nobody else would settle the dispatch.
            self._settled()

    def _settled(self) -> None:
        self._pending -= 1
        self.wake()

    # --- looking -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Ends what is over, and dispatches at most one request."""
        self._look_soon = False
        started = now = self._clock()
        controller = self.controller
        for ready in controller.advance(now):
            self._lined_up(ready, now)
        self._expire(now)
        if controller.in_line:
            self._found = {}
            views = [(lane, self._view(lane, now)) for lane in controller.lanes]
            fullest = self.saturation
            self._observer.saturated(fullest)
            controller.policies.saturation_observed(fullest.effective, now)
            controller.adapt(fullest.effective, now)
            turn = next_turn(views, controller.policies, now)
            if isinstance(turn, Entry):
                self._held_until = 0.0
                self._evictions.made_room(now)
                self._dispatch(turn, now)
                self.wake()
            else:
                self._held_until = now + HELD_SECONDS
                self._make_room(turn, now)
            self._observer.cycle(self._clock() - started)
        self._arm()

    def _make_room(self, held: Sequence[Held], now: float) -> None:
        if self.settings.enable_eviction:
            in_flight = sum(endpoint.in_flight for endpoint in self._pool.candidates())
            self._evictions.make_room(held, in_flight + self._pending, now)

    def _view(self, lane: Lane, now: float) -> LaneView:
        endpoints = self._book.endpoints(lane.name, self._pool.candidates())
        self.controller.set_pool_empty(lane, empty=not endpoints, now=now)
        endpoints = with_pending(endpoints, self._pending)
        found = self._found[lane.name] = self._gauge.read(endpoints, now)
        return LaneView(endpoints, found.effective)

    def _expire(self, now: float) -> None:
        while (entry := self.controller.expire(now)) is not None:
            # Nobody looks at a lane in which all are deferred: what it knows of the pool may be hours old.
            empty = not self._book.endpoints(entry.lane, self._pool.candidates())
            outcome = Outcome.EVICTED_NO_ENDPOINTS if empty else Outcome.EVICTED_TTL
            self._end(entry, outcome, outcomes.expired(now - entry.enqueued_at, pool_empty=empty))

    def _arm(self) -> None:
        """Makes sure that somebody looks again while requests wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        longest = TICK_SECONDS if self.controller.in_line else DEFERRED_TICK_SECONDS
        delay = min(longest, max(0.0, self.controller.next_event_at() - self._clock()))
        self._timer = asyncio.get_running_loop().call_later(delay, self._look)
