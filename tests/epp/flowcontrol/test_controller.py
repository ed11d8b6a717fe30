"""The queue against a naive model of it, in virtual time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from epp.flowcontrol.fakes import (
    Aging,
    Alphabet,
    Arrival,
    Broken,
    Strict,
    Windows,
    band,
    policies_of,
    request,
    settings,
)
from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.turns import LaneView, next_turn
from turnout.framework import (
    NEVER,
    Deferral,
    EffectivePriority,
    Endpoint,
    FlowHead,
    Named,
    PluginError,
    QueuedRequest,
    QueueMix,
)
from turnout.framework.testing import make_endpoint

ENDPOINTS = (make_endpoint("a"),)


class Queue:
    """A controller with one way in and one way out."""

    def __init__(self, made: FlowControlSettings) -> None:
        self.failures: list[PluginError] = []
        limits, policies = policies_of(made, self.failures.append)
        self.core = FlowController(limits, policies)

    def add(self, name: str, now: float, priority: int = 0, flow: str = "a", lane: str = "all", **more: Any) -> Entry:
        deadline = more.pop("deadline", NEVER)
        item = QueuedRequest(request(name, priority, flow, **more), now, deadline)
        return self.core.add(item, lane, now, pool_empty=False)

    def next(self, now: float, saturation: float = 0.0) -> str | None:
        self.core.advance(now)
        views = [(lane, LaneView(ENDPOINTS, saturation)) for lane in self.core.lanes]
        turn = next_turn(views, self.core.policies, now) if views else ()
        if not isinstance(turn, Entry):
            return None
        return self.core.dispatch(turn, now).request.request_id

    def all(self, now: float) -> list[str]:
        names = []
        while (name := self.next(now)) is not None:
            names.append(name)
        return names


def test_the_highest_priority_goes_first_and_in_it_the_earliest() -> None:
    queue = Queue(settings())
    for name, priority in (("low", -1), ("first", 5), ("normal", 0), ("second", 5)):
        queue.add(name, now=1.0, priority=priority)
    assert queue.all(2.0) == ["first", "second", "normal", "low"]
    assert queue.core.length == 0


def test_a_fairness_policy_that_looks_at_all_flows_chooses_among_them() -> None:
    queue = Queue(settings(fairness=Alphabet()))
    for name, flow in (("1", "z"), ("2", "b"), ("3", "b"), ("4", "a")):
        queue.add(name, now=1.0, flow=flow)
    assert queue.all(2.0) == ["4", "2", "3", "1"]


def test_an_entry_leaves_the_middle_of_its_flow() -> None:
    queue = Queue(settings())
    entries = [queue.add(str(number), now=1.0) for number in range(5)]
    assert queue.core.withdraw(entries[0], 1.0).request.request_id == "0"
    queue.core.withdraw(entries[3], 1.0)
    assert entries[3].item is None
    assert queue.all(2.0) == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("usual", "without", "own", "regime_change", "expected"),
    [
        pytest.param(60.0, 30.0, NEVER, None, 60.0, id="the usual time to live"),
        pytest.param(60.0, 30.0, 5.0, None, 5.0, id="the client's own deadline is earlier"),
        pytest.param(None, None, NEVER, None, NEVER, id="no time to live"),
        pytest.param(60.0, 30.0, NEVER, 10.0, 40.0, id="the pool got empty: another budget from then on"),
        pytest.param(60.0, 30.0, NEVER, 50.0, 60.0, id="but never longer than the larger of the two"),
        pytest.param(10.0, None, NEVER, 5.0, NEVER, id="without endpoints for ever"),
    ],
)
def test_a_deadline_follows_the_regime(
    usual: float | None, without: float | None, own: float, regime_change: float | None, expected: float
) -> None:
    ttls = [None if each is None else timedelta(seconds=each) for each in (usual, without)]
    queue = Queue(settings(default_request_ttl=ttls[0], no_endpoint_request_ttl=ttls[1]))
    entry = queue.add("r", now=0.0, deadline=own)
    if regime_change is not None:
        queue.core.set_pool_empty(queue.core.lane_of(entry), empty=True, now=regime_change)
    assert entry.deadline == entry.waiting.deadline == expected
    assert queue.core.expire(min(expected, 1e9) - 0.001) is None
    if expected < NEVER:
        assert queue.core.expire(expected) is entry


def test_aging_lifts_a_request_over_younger_ones_of_a_higher_priority() -> None:
    queue = Queue(settings(ordering=Aging(step=10.0)))
    queue.add("old", now=0.0, priority=0)
    queue.add("young", now=9.0, priority=1)
    assert queue.core.next_event_at() == 10.0
    queue.core.advance(10.0)
    assert [band.priority for band in queue.core.lanes[0].bands] == [1]
    assert queue.all(10.0) == ["old", "young"]


def test_an_overdue_request_goes_next_whatever_its_band() -> None:
    queue = Queue(settings(ordering=Aging(step=NEVER, max_wait=20.0)))
    queue.add("low", now=0.0, priority=-5)
    queue.add("lower", now=1.0, priority=-9)
    for number in range(3):
        queue.add(f"high{number}", now=5.0, priority=100)
    assert queue.next(19.9) == "high0"
    assert queue.next(20.0) == "low"
    assert queue.next(20.0) == "high1"
    assert queue.next(22.0) == "lower"


def test_a_changed_priority_moves_the_request_and_its_limits() -> None:
    bands = MappingProxyType({7: band(max_requests=1)})
    queue = Queue(settings(bands=bands))
    first, second = queue.add("first", now=1.0), queue.add("second", now=1.0)
    assert queue.core.reprioritise(second, 7, now=2.0) == ""
    assert queue.core.reprioritise(first, 7, now=2.0) == "maxRequests of priority 7 is 1"
    assert (queue.core.limits.waiting(0).requests, queue.core.limits.waiting(7).requests) == (1, 1)
    assert queue.all(3.0) == ["second", "first"]


def test_what_waits_survives_other_settings_in_their_order() -> None:
    queue = Queue(settings())
    queue.add("z", now=1.0, flow="z")
    queue.add("a", now=2.0, flow="a")
    gone = queue.add("gone", now=2.0, flow="a")
    queue.core.withdraw(gone, 2.0)
    made = settings(fairness=Alphabet(), max_requests=1)
    limits, policies = policies_of(made, queue.failures.append)
    queue.core.rebuild(limits, policies, lambda entry: "other", now=3.0)
    assert queue.core.length == 2
    assert [lane.name for lane in queue.core.lanes] == ["other"]
    assert queue.all(4.0) == ["a", "z"]


def test_lanes_do_not_hold_back_each_other() -> None:
    queue = Queue(settings())
    queue.add("stuck", now=1.0, priority=9, lane="full")
    queue.add("free", now=1.0, priority=0, lane="room")
    views = {"full": LaneView(ENDPOINTS, 1.5), "room": LaneView(ENDPOINTS, 0.2)}
    turn = next_turn([(lane, views[lane.name]) for lane in queue.core.lanes], queue.core.policies, 1.0)
    assert isinstance(turn, Entry)
    assert turn.waiting.request.request_id == "free"


def test_a_broken_policy_costs_its_say_and_no_request() -> None:
    broken = Broken()
    queue = Queue(
        settings(
            ordering=broken,
            fairness=broken,
            usage_limit=Named(broken, "limits"),
            gates=(Named(broken, "gate"),),
            deferral_policies=(Named(broken, "later"),),
        )
    )
    for name, priority in (("low", -1), ("first", 5), ("second", 5)):
        queue.add(name, now=1.0, priority=priority)
    assert queue.all(2.0) == ["first", "second", "low"]
    assert {failure.extension_point.value for failure in queue.failures} == {
        "Deferral",
        "Ordering",
        "Fairness",
        "UsageLimit",
        "DispatchGate",
    }


class Reversible(Arrival):
    """Turns its order round when asked to adapt."""

    def __init__(self) -> None:
        self.sign = 1
        self.seen: list[QueueMix] = []

    def rank(self, item: QueuedRequest, now: float) -> float:
        return self.sign * item.enqueued_at

    def adapt(self, mix: QueueMix, now: float) -> bool:
        self.seen.append(mix)
        self.sign = -self.sign
        return True


def test_an_adaptive_policy_reorders_what_waits_at_most_once_a_second() -> None:
    policy = Reversible()
    queue = Queue(settings(ordering=policy))
    queue.add("1", now=1.0, ttft_target=0.5)
    queue.add("2", now=2.0, priority=0)
    queue.core.adapt(0.5, 3.0)
    queue.core.adapt(0.5, 3.5)
    assert policy.seen == [QueueMix(queued=2, with_target=0.5, high_priority=0.0, saturation=0.5)]
    assert queue.all(4.0) == ["2", "1"]


# --- deferred requests -----------------------------------------------------------------------------------


def deferring(windows: Windows, **more: Any) -> Queue:
    return Queue(settings(deferral_policies=(Named(windows, "later"),), **more))


def test_a_deferred_request_holds_up_nobody_and_stands_behind_those_in_line() -> None:
    queue = deferring(Windows(length=10.0))
    queue.add("deferred", now=0.0, level="later")
    queue.add("before", now=9.0)
    assert (queue.core.length, queue.core.in_line) == (2, 1)
    assert queue.all(9.0) == ["before"]
    queue.add("in line", now=9.5)
    assert queue.core.next_event_at() == 10.0
    (ready,) = queue.core.advance(10.0)
    assert (ready.enqueued_at, ready.in_line_since, ready.waiting.enqueued_at) == (0.0, 10.0, 10.0)
    queue.add("after", now=10.5)
    assert queue.all(11.0) == ["in line", "deferred", "after"]


def test_the_time_to_live_and_the_age_count_from_when_it_stands_in_line() -> None:
    queue = deferring(Windows(length=100.0, patience=1e6), ordering=Aging(step=NEVER, max_wait=20.0))
    entry = queue.add("r", now=0.0, level="later")
    assert entry.deadline == NEVER
    queue.core.advance(100.0)
    assert (entry.deadline, entry.overdue_at) == (160.0, 120.0)


@pytest.mark.parametrize(
    ("windows", "stated", "ends_at"),
    [
        pytest.param(Windows(length=1000.0, patience=50.0, refuses=True), NEVER, 50.0, id="the policy's patience"),
        pytest.param(Windows(length=1000.0, patience=50.0, refuses=True), 5.0, 5.0, id="the client's patience"),
        pytest.param(Windows(length=1000.0, patience=50.0), 5.0, 5.0, id="the client's before it would go"),
    ],
)
def test_a_deferred_request_ends_at_its_deadline(windows: Windows, stated: float, ends_at: float) -> None:
    queue = deferring(windows)
    entry = queue.add("r", now=0.0, level="later", deadline=stated)
    assert entry.waiting.deadline == ends_at
    queue.core.advance(ends_at - 0.001)
    assert queue.core.expire(ends_at - 0.001) is None
    queue.core.advance(ends_at)
    assert queue.core.expire(ends_at) is entry
    queue.core.withdraw(entry, ends_at)
    assert queue.core.length == queue.core.in_line == 0


def test_a_deferred_request_counts_in_the_limits() -> None:
    queue = deferring(Windows(length=1000.0), max_requests=1)
    queue.add("r", now=0.0, level="later")
    assert queue.core.limits.refusal(0, 10) == "maxRequests is 1"


def test_a_deferred_request_is_no_part_of_the_mix_that_policies_adapt_to() -> None:
    policy = Reversible()
    queue = deferring(Windows(length=1000.0), ordering=policy)
    queue.add("deferred", now=1.0, priority=3, ttft_target=0.5, level="later")
    queue.core.adapt(0.5, 2.0)
    assert policy.seen == []
    queue.add("in line", now=3.0)
    queue.core.adapt(0.5, 4.0)
    assert policy.seen == [QueueMix(queued=1, with_target=0.0, high_priority=0.0, saturation=0.5)]


def test_all_that_wait_may_go_without_being_asked_about() -> None:
    queue = deferring(Windows(length=1000.0))
    entry = queue.add("r", now=0.0, level="later", ttft_target=0.5)
    assert queue.core.dispatch(entry, 1.0).request.request_id == "r"
    assert queue.core.length == queue.core.in_line == 0


def test_a_deferred_request_that_gets_another_priority_is_asked_about_again() -> None:
    class OnlyLow(Windows):
        def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
            return Deferral(now + 100.0) if item.request.priority < 0 else None

    queue = deferring(OnlyLow())
    entry = queue.add("r", now=0.0, priority=-2)
    assert queue.core.reprioritise(entry, -1, 1.0) == ""
    assert (entry.deferral, queue.core.limits.deferred) == (Deferral(101.0), {-1: 1})
    assert queue.core.reprioritise(entry, 4, 2.0) == ""
    assert (entry.deferral, entry.in_line_since, queue.core.limits.deferred) == (None, 2.0, {})
    assert queue.all(3.0) == ["r"]


def test_of_several_policies_each_has_to_find_it_time() -> None:
    queue = Queue(
        settings(deferral_policies=(Named(Windows(length=3.0), "threes"), Named(Windows(length=5.0), "fives")))
    )
    entry = queue.add("r", now=0.0, level="later")
    for now in (3.0, 4.0, 5.0):
        queue.core.advance(now)
        assert entry.deferral is not None or now == 5.0
    assert queue.all(5.0) == ["r"]


# --- against a model -------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("arrive"),
            st.integers(-2, 2),
            st.sampled_from("abc"),
            st.sampled_from([NEVER, NEVER, 3.0, 15.0]),
            st.sampled_from(["", "later"]),
        ),
        st.tuples(st.just("dispatch"), st.just(0.0) | st.floats(0.0, 1.2)),
        st.tuples(st.just("abort"), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 5.0, 7.0]) | st.floats(0.0, 20.0)),
        st.tuples(st.just("lose_endpoints"), st.booleans()),
        st.tuples(st.just("reload"), st.integers(0, 2)),
        st.tuples(st.just("move"), st.integers(0, 50), st.integers(-2, 2)),
    ),
    max_size=60,
)
MAX_WAIT = 12.0


class Model:
    """What has to be true, worked out by looking at everything."""

    def __init__(self) -> None:
        self.waiting: dict[str, Entry] = {}
        self.ended: dict[str, str] = {}
        self.dispatches_since_overdue: dict[str, tuple[int, int]] = {}
        self.deferred: set[str] = set()
        self.in_line_since: dict[str, float] = {}

    def end(self, name: str, how: str) -> None:
        assert name in self.waiting, f"{name} ended as {how} without waiting"
        assert name not in self.ended, f"{name} ended twice"
        del self.waiting[name]
        self.deferred.discard(name)
        self.ended[name] = how

    def line_up(self, windows: Windows | None, now: float) -> None:
        """What need not be deferred any more stands in line from now on."""
        for name in list(self.deferred):
            entry = self.waiting[name]
            ripe = windows is None or windows.is_open(now)
            if ripe or (windows is not None and not windows.refuses and now >= entry.enqueued_at + windows.patience):
                self.deferred.remove(name)
                self.in_line_since[name] = now

    def since(self, entry: Entry) -> float:
        """When the entry began to stand in line."""
        return self.in_line_since[entry.waiting.request.request_id]


def overdue(model: Model, entry: Entry, now: float) -> bool:
    return model.since(entry) + MAX_WAIT <= now


def aged(model: Model, entry: Entry, now: float) -> int:
    """The effective priority, by the time in line."""
    item = replace(entry.waiting, enqueued_at=model.since(entry))
    return Aging(step=5.0, top=2, max_wait=MAX_WAIT).effective_priority(item, now).priority


def expected_next(model: Model, now: float) -> Entry | None:
    """The longest overdue one, else the earliest of the highest effective priority."""
    entries = [entry for name, entry in model.waiting.items() if name not in model.deferred]
    late = [entry for entry in entries if overdue(model, entry, now)]
    if late:
        return min(late, key=lambda entry: (model.since(entry), entry.sequence))
    return min(
        entries,
        key=lambda entry: (
            -aged(model, entry, now),
            model.since(entry),
            entry.sequence,
        ),
        default=None,
    )


class Play:
    """A queue and its model, driven step by step."""

    def __init__(self) -> None:
        self.windows = [Windows(), None, Windows(length=5.0, patience=20.0, refuses=True)]
        self.made = [
            self._settings(ttl, limit, windows)
            for ttl, limit, windows in zip((40.0, 25.0, 25.0), (8, 20, 20), self.windows, strict=True)
        ]
        self.number, self.current = 0, self.made[0]
        self.queue, self.model = Queue(self.current), Model()
        self.now, self.arrived, self.empty = 100.0, 0, False

    @staticmethod
    def _settings(ttl: float, limit: int, windows: Windows | None) -> FlowControlSettings:
        aging = Aging(step=5.0, top=2, max_wait=MAX_WAIT)
        later = () if windows is None else (Named(windows, "later"),)
        ttls = timedelta(seconds=ttl)
        return settings(ordering=aging, default_request_ttl=ttls, max_requests=limit, deferral_policies=later)

    def arrive(self, priority: int, flow: str, patience: float, level: str) -> None:
        self.arrived += 1
        name = f"r{self.arrived}"
        full = self.queue.core.limits.refusal(priority, 10)
        assert bool(full) == (len(self.model.waiting) >= (self.current.max_requests or 0))
        if not full:
            item = QueuedRequest(request(name, priority, flow, level=level), self.now, self.now + patience)
            self.model.waiting[name] = self.queue.core.add(item, "all", self.now, pool_empty=self.empty)
            self.model.in_line_since[name] = self.now
            windows = self.windows[self.number]
            if level and windows is not None and not windows.is_open(self.now):
                self.model.deferred.add(name)

    def dispatch(self, saturation: float) -> None:
        expected = expected_next(self.model, self.now)
        name = None if expected is None or saturation >= 1.0 else expected_name(self.model, expected)
        assert self.queue.next(self.now, saturation) == name
        if name is not None:
            self.model.end(name, "dispatched")

    def abort(self, number: int) -> None:
        name = self._some(number)
        if name:
            self.queue.core.withdraw(self.model.waiting[name], self.now)
            self.model.end(name, "aborted")

    def wait(self, seconds: float) -> None:
        self.now = tick(self.queue, self.model, self.now, self.now + seconds, self.windows[self.number])

    def lose_endpoints(self, empty: bool) -> None:
        self.empty = empty
        for lane in self.queue.core.lanes:
            self.queue.core.set_pool_empty(lane, empty=empty, now=self.now)

    def reload(self, number: int) -> None:
        self.number, self.current = number, self.made[number]
        self.model.line_up(self.windows[number], self.now)
        limits, policies = policies_of(self.current, self.queue.failures.append)
        self.queue.core.rebuild(limits, policies, lambda entry: entry.lane, self.now)

    def move(self, number: int, priority: int) -> None:
        name = self._some(number)
        if name:
            self.queue.core.reprioritise(self.model.waiting[name], priority, self.now)

    def _some(self, number: int) -> str | None:
        names = sorted(self.model.waiting)
        return names[number % len(names)] if names else None


@hypothesis_settings(max_examples=400, deadline=None)
@given(steps=STEPS)
def test_every_interleaving_keeps_the_rules(steps: list[tuple[Any, ...]]) -> None:
    play = Play()
    for step, *values in steps:
        getattr(play, step)(*values)
        assert_consistent(play.queue, play.model)
    play.wait(200.0)
    assert not play.model.waiting, "every request ends by its deadline at the latest"
    assert play.queue.failures == []


def expected_name(model: Model, entry: Entry) -> str:
    return next(name for name, each in model.waiting.items() if each is entry)


def tick(queue: Queue, model: Model, now: float, until: float, windows: Windows | None) -> float:
    """Lets the time pass from event to event; nothing waits past its deadline."""
    while True:
        now = min(until, max(now, queue.core.next_event_at()))
        before = set(model.deferred)
        model.line_up(windows, now)
        ready = {entry.waiting.request.request_id for entry in queue.core.advance(now)}
        assert ready == before - model.deferred
        while (entry := queue.core.expire(now)) is not None:
            assert entry.deadline <= now
            name = expected_name(model, entry)
            assert now <= model.since(entry) + 60.0
            assert name not in model.deferred or now <= entry.enqueued_at + 30.0
            queue.core.withdraw(entry, now)
            model.end(name, "expired")
        assert all(entry.deadline > now for entry in model.waiting.values())
        if now >= until:
            return now


def assert_consistent(queue: Queue, model: Model) -> None:
    core = queue.core
    assert core.length == len(model.waiting)
    assert set(core) == set(model.waiting.values())
    by_priority: dict[int, int] = {}
    for entry in model.waiting.values():
        by_priority[entry.priority] = by_priority.get(entry.priority, 0) + 1
    assert {each: amount.requests for each, amount in core.limits.by_priority.items()} == by_priority
    assert core.limits.total.size_bytes == 10 * len(model.waiting)
    assert {name for name, entry in model.waiting.items() if entry.deferral is not None} == model.deferred
    assert core.in_line == core.limits.in_line == len(model.waiting) - len(model.deferred)
    assert sum(lane.length for lane in core.lanes) == core.in_line
    for name, entry in model.waiting.items():
        assert entry.waiting.enqueued_at == (entry.enqueued_at if name in model.deferred else model.since(entry))


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(-3, 3)), min_size=1, max_size=60),
    service=st.floats(0.1, 2.0),
)
def test_no_wait_is_longer_than_the_stated_bound(arrivals: list[tuple[float, int]], service: float) -> None:
    """With a dispatch every ``service`` seconds: max wait, then a dispatch for each that is overdue before it."""
    queue = Queue(
        settings(ordering=Aging(step=NEVER, max_wait=MAX_WAIT), default_request_ttl=None, no_endpoint_request_ttl=None)
    )
    due = list(zip(accumulate(gap for gap, _ in arrivals), arrivals, strict=True))
    entered: dict[str, float] = {}
    waits: dict[str, float] = {}
    now = 0.0
    while due or queue.core.length:
        now += service
        while due and due[0][0] <= now:
            when, (_, priority) = due.pop(0)
            entered[str(len(entered))] = when
            queue.add(str(len(entered) - 1), now=when, priority=priority)
        name = queue.next(now)
        if name is not None:
            waits[name] = now - entered[name]
    for name, wait in waits.items():
        overdue_at = entered[name] + MAX_WAIT
        earlier = (other for other in entered if (entered[other], int(other)) < (entered[name], int(name)))
        ahead = sum(entered[other] + waits[other] >= overdue_at for other in earlier)
        assert wait <= MAX_WAIT + (ahead + 1) * service + 1e-9


def test_a_policy_that_wants_to_be_asked_at_once_is_broken() -> None:
    class Impatient(Arrival):
        def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
            return EffectivePriority(3, until=now)

    queue = Queue(settings(ordering=Impatient()))
    assert queue.add("r", now=1.0, priority=1).band == 1
    assert "is not after 1.0" in str(queue.failures[0])


def test_a_policy_hears_of_the_dispatch_before_the_next_head_is_ranked() -> None:
    class Ledger(Strict):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
            self.heard.append(f"dispatched {item.request.request_id}")

        def flow_rank(self, flow: FlowHead, now: float) -> tuple[float, float, str]:
            self.heard.append(f"ranked {flow.head.request.request_id}")
            return super().flow_rank(flow, now)

    ledger = Ledger()
    queue = Queue(settings(fairness=ledger))
    queue.add("1", now=1.0)
    queue.add("2", now=2.0)
    queue.all(3.0)
    assert ledger.heard == ["ranked 1", "dispatched 1", "ranked 2", "dispatched 2"]


def test_a_gate_hears_of_what_it_let_go() -> None:
    class Turnstile:
        def __init__(self) -> None:
            self.heard: list[tuple[str, int]] = []

        def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
            return not self.heard

        def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
            self.heard.append((item.request.request_id, priority))

    turnstile = Turnstile()
    queue = Queue(settings(gates=(Named(turnstile, "turnstile"),)))
    queue.add("1", now=1.0, priority=4)
    queue.add("2", now=1.0)
    assert queue.all(2.0) == ["1"]
    assert turnstile.heard == [("1", 4)]
