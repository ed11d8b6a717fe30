"""The core of flow control: who waits, who goes next, and whose time is over. Pure; every step is told the time.

Theory of operation. A request waits in one lane (the requests that the same endpoints can serve), there in the band of
its effective priority, there in the flow of its fairness id, at a rank. Everything that happens by itself, later, has
an entry in one of two heaps of times: an effective priority that changes or becomes overdue, and a deadline. So a step
costs the logarithm of what waits. Entries that have left, or whose time was changed, stay in these heaps until their
time comes or they are more than the live ones, and are passed over.

A request that is deferred stands in no lane. It is an entry of its own until a policy lets it go; then it is inserted
as if it had come at that moment, with its deadline, its rank, its targets and its age counted from there, so that many
that are let go together go before nobody who was in line.

The bound on a wait. A request ends at its deadline at the latest. One that is overdue goes before every request that
is not: when it becomes so with k others overdue before it in its lane, it is at most the (k+1)th of the lane's
dispatches from then on. Both hold whatever comes in meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import count

from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.lane import Lane
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.policies import Policies
from turnout.framework import NEVER, EffectivePriority, QueuedRequest, QueueMix

_SLACK = 64
ADAPT_SECONDS = 1.0


class FlowController:
    """Owns what waits. Times are seconds on one clock that never goes back; nothing happens between the calls.

    An entry that was added leaves exactly once: by ``dispatch``, ``withdraw`` or ``expire``.
    """

    def __init__(self, limits: Limits, policies: Policies) -> None:
        self.limits = limits
        self.policies = policies
        self._lanes: dict[str, Lane] = {}
        self._sequence = 0
        self._changes: list[tuple[float, int, Entry]] = []
        self._deadlines: list[tuple[float, int, Entry]] = []
        self._deferred: dict[Entry, None] = {}
        self._adapt_at = 0.0
        self._with_target = 0
        # Tells slots with one time apart, so that entries are never compared.
        self._ticks = count()

    @property
    def length(self) -> int:
        """How many requests wait, those that are deferred included."""
        return self.limits.total.requests

    @property
    def in_line(self) -> int:
        """How many requests wait for their turn."""
        return self.length - len(self._deferred)

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes that have requests."""
        return [lane for lane in self._lanes.values() if lane.length]

    def lane_of(self, entry: Entry) -> Lane:
        """The lane in which a queued entry waits."""
        return self._lanes[entry.lane]

    def waits_in(self, lane_name: str) -> bool:
        """Whether requests wait in the lane of this name."""
        lane = self._lanes.get(lane_name)
        return lane is not None and lane.length > 0

    def __iter__(self) -> Iterator[Entry]:
        for lane in self._lanes.values():
            yield from lane
        yield from self._deferred

    # --- in and out --------------------------------------------------------------------------------------

    def add(self, item: QueuedRequest, lane_name: str, now: float, *, pool_empty: bool) -> Entry:
        """Lets a request wait, whatever the limits; ``limits.refusal`` is asked before.

        The item comes with the deadline that the client stated, and waits with the one that holds. It may be deferred.
        """
        self._sequence += 1
        entry = Entry(item, lane_name, self._sequence)
        self.limits.add(entry.priority, entry.size_bytes)
        lane = self._lanes.get(lane_name)
        if lane is None:
            lane = self._lanes[lane_name] = Lane(lane_name, self.policies.make_band, now)
        if not lane.length:
            lane.pool_empty, lane.regime_since = pool_empty, now
        if not self._is_deferred(entry, now):
            self._line_up(entry, lane, now)
        return entry

    def withdraw(self, entry: Entry, now: float) -> QueuedRequest:
        """Takes out a queued entry that goes nowhere."""
        self._take_out(entry, now)
        return self._gone(entry)

    def dispatch(self, entry: Entry, now: float) -> QueuedRequest:
        """Takes out a queued entry that goes to an endpoint."""
        if entry.deferral is not None:
            self._undefer(entry)
            entry.in_line_since = now
        else:
            self._lanes[entry.lane].dispatch(entry, now)
            self._with_target -= entry.waiting.request.ttft_target is not None
        self.policies.dispatched(entry.waiting, entry.band, now)
        return self._gone(entry)

    def expire(self, now: float) -> Entry | None:
        """A queued entry whose deadline has come, if there is one; it is to be withdrawn."""
        while self._deadlines:
            deadline, _, entry = self._deadlines[0]
            if entry.queued and entry.deadline == deadline:
                return entry if deadline <= now else None
            heappop(self._deadlines)
        return None

    # --- the time ----------------------------------------------------------------------------------------

    def advance(self, now: float) -> Sequence[Entry]:
        """Lets happen what was due: effective priorities change, entries become overdue.

        Gives the entries that were deferred before and stand in line now.
        """
        ready: list[Entry] = []
        while self._changes and self._changes[0][0] <= now:
            when, _, entry = heappop(self._changes)
            if not _is_due(entry, when):
                continue
            if entry.deferral is None:
                self._change(entry, when, now)
            elif self._ask_again(entry, now):
                ready.append(entry)
        return ready

    def next_event_at(self) -> float:
        """When something happens by itself; infinity if nothing will. It may turn out to be nothing."""
        changes = self._changes[0][0] if self._changes else NEVER
        deadlines = self._deadlines[0][0] if self._deadlines else NEVER
        return min(changes, deadlines)

    def adapt(self, saturation: float, now: float) -> None:
        """Lets adaptive policies look at what waits, at most once a second."""
        if not self.policies.adapts or now < self._adapt_at or not self.in_line:
            return
        self._adapt_at = now + ADAPT_SECONDS
        if self.policies.adapt(self._mix(saturation), now):
            self.rebuild(self.limits, self.policies, lambda entry: entry.lane, now)

    def set_pool_empty(self, lane: Lane, *, empty: bool, now: float) -> None:
        """Tells whether any endpoint could serve the lane; a change starts another time to live."""
        if lane.pool_empty == empty:
            return
        lane.pool_empty = empty
        lane.regime_since = now
        for entry in lane:
            self._set_deadline(entry, lane)

    # --- changes of what waits ---------------------------------------------------------------------------

    def reprioritise(self, entry: Entry, priority: int, now: float) -> str:
        """Gives a queued request another priority; returns the limit that forbids it, or an empty string."""
        if priority == entry.priority:
            return ""
        refusal = self.limits.refusal(priority, entry.size_bytes)
        if refusal:
            return refusal
        was_deferred = entry.deferral is not None
        self._take_out(entry, now)
        self.limits.remove(entry.priority, entry.size_bytes)
        self.limits.add(priority, entry.size_bytes)
        item = entry.waiting
        entry.item = replace(item, request=replace(item.request, priority=priority))
        entry.priority = priority
        if not was_deferred or not self._is_deferred(entry, now):
            self._line_up(entry, self._lanes[entry.lane], now, since=now if was_deferred else None)
        return ""

    def rebuild(self, limits: Limits, policies: Policies, lane_of: Callable[[Entry], str], now: float) -> None:
        """Lets everything that waits be ordered by other settings. Nothing is lost, even where limits are lower."""
        waiting = sorted(self, key=lambda entry: entry.sequence)
        before = self._lanes
        if limits is not self.limits:
            for entry in waiting:
                limits.add(entry.priority, entry.size_bytes)
        deferred = set(self._deferred)
        for entry in deferred:
            self._undefer(entry)
        self.limits, self.policies = limits, policies
        self._lanes, self._changes, self._deadlines, self._with_target = {}, [], [], 0
        for entry in waiting:
            old, name = before[entry.lane], lane_of(entry)
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(name, policies.make_band, old.regime_since)
                lane.pool_empty = old.pool_empty
            entry.lane = name
            entry.version += 1
            entry.overdue_at = entry.deadline = NEVER
            if entry not in deferred:
                self._line_up(entry, lane, now)
            elif not self._is_deferred(entry, now):
                self._line_up(entry, lane, now, since=now)

    # --- inside ------------------------------------------------------------------------------------------

    def _is_deferred(self, entry: Entry, now: float) -> bool:
        """Asks whether an entry that stands nowhere is to be deferred, and defers it."""
        if not self.policies.defers:
            return False
        stated = replace(entry.waiting, deadline=entry.stated_deadline)
        deferral = self.policies.deferral(stated, now)
        if deferral is None:
            return False
        entry.deferral = deferral
        entry.effective = EffectivePriority(entry.priority)
        entry.overdue_at = NEVER
        self._deferred[entry] = None
        self.limits.defer(entry.priority)
        self._expire_at(entry, min(entry.stated_deadline, deferral.expires_at))
        if deferral.until < NEVER:
            self._remind(deferral.until, entry)
        return True

    def _undefer(self, entry: Entry) -> None:
        entry.deferral = None
        del self._deferred[entry]
        self.limits.undefer(entry.priority)

    def _ask_again(self, entry: Entry, now: float) -> bool:
        """Asks about a deferred entry once more; whether it stands in line now."""
        self._undefer(entry)
        if self._is_deferred(entry, now):
            return False
        self._line_up(entry, self._lanes[entry.lane], now, since=now)
        return True

    def _take_out(self, entry: Entry, now: float) -> None:
        """Takes a queued entry out of where it stands."""
        if entry.deferral is not None:
            self._undefer(entry)
            return
        self._lanes[entry.lane].discard(entry, now)
        self._with_target -= entry.waiting.request.ttft_target is not None

    def _line_up(self, entry: Entry, lane: Lane, now: float, since: float | None = None) -> None:
        """Lets an entry that stands nowhere stand in line, since that time if it has not stood there before."""
        if since is not None:
            entry.in_line_since = since
            item = entry.waiting
            entry.item = replace(item, enqueued_at=since, request=replace(item.request, received_at=since))
        self._with_target += entry.waiting.request.ttft_target is not None
        self._set_deadline(entry, lane)
        self._insert(entry, lane, now)

    def _insert(self, entry: Entry, lane: Lane, now: float) -> None:
        """Puts an entry that stands nowhere into its band."""
        item = entry.waiting
        effective = self.policies.effective_priority(item, now)
        entry.effective = effective
        entry.band = effective.priority
        entry.rank = self.policies.rank(item, entry.band, now)
        lane.add(entry, now)
        if effective.overdue_at != entry.overdue_at:
            entry.overdue_at = effective.overdue_at
            if effective.overdue_at <= now:
                lane.mark_overdue(entry)
            elif effective.overdue_at < NEVER:
                self._remind(effective.overdue_at, entry)
        if effective.until < NEVER:
            self._remind(effective.until, entry)

    def _change(self, entry: Entry, when: float, now: float) -> None:
        lane = self._lanes[entry.lane]
        if when == entry.overdue_at:
            lane.mark_overdue(entry)
        if when != entry.effective.until:
            return
        lane.discard(entry, now)
        self._insert(entry, lane, now)

    def _remind(self, when: float, entry: Entry) -> None:
        heappush(self._changes, (when, next(self._ticks), entry))
        if len(self._changes) > 4 * self.length + _SLACK:
            self._changes = [slot for slot in self._changes if _is_due(slot[2], slot[0])]
            heapify(self._changes)

    def _set_deadline(self, entry: Entry, lane: Lane) -> None:
        limits = self.limits
        budget = limits.no_endpoint_ttl if lane.pool_empty else limits.request_ttl
        start = max(entry.in_line_since, lane.regime_since)
        longest = entry.in_line_since + max(limits.request_ttl, limits.no_endpoint_ttl)
        self._expire_at(entry, min(entry.stated_deadline, start + budget, longest))

    def _expire_at(self, entry: Entry, deadline: float) -> None:
        if deadline != entry.waiting.deadline:
            entry.item = replace(entry.waiting, deadline=deadline)
        if deadline != entry.deadline:
            entry.deadline = deadline
            heappush(self._deadlines, (deadline, next(self._ticks), entry))
            if len(self._deadlines) > 2 * self.length + _SLACK:
                self._deadlines = [slot for slot in self._deadlines if slot[2].queued and slot[2].deadline == slot[0]]
                heapify(self._deadlines)

    def _gone(self, entry: Entry) -> QueuedRequest:
        self.limits.remove(entry.priority, entry.size_bytes)
        return entry.leave()

    def _mix(self, saturation: float) -> QueueMix:
        queued, limits = self.in_line, self.limits
        high = sum(waiting.requests for priority, waiting in limits.by_priority.items() if priority > 0)
        high -= sum(count for priority, count in limits.deferred.items() if priority > 0)
        return QueueMix(queued, self._with_target / queued, high / queued, saturation)


def _is_due(entry: Entry, when: float) -> bool:
    """Whether something about the entry was to happen at this time, and still is."""
    if entry.deferral is not None:
        return entry.queued and when == entry.deferral.until
    return entry.queued and when in (entry.effective.until, entry.overdue_at)
