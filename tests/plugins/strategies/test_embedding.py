from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.queued import any_queued, queued
from turnout.framework import (
    CycleState,
    Endpoint,
    InferenceRequest,
    Named,
    PluginError,
    QueuedRequest,
    Scheduler,
    SchedulerProfile,
    Scores,
    StateKey,
    WeightedScorer,
)
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.labels import LabelSelectorFilter
from turnout.plugins.pickers import MaxScorePicker
from turnout.plugins.profile_handlers import SingleProfileHandler
from turnout.plugins.queue_depth import QueueScorer
from turnout.plugins.strategies.adaptive import AdaptiveOrderingPolicy
from turnout.plugins.strategies.embedding import STRATEGIES, Assignment, prioritize, schedule
from turnout.plugins.strategies.priority import PriorityOrderingPolicy

PROFILE = SchedulerProfile("default", Named(MaxScorePicker(seed=0)), scorers=(WeightedScorer(Named(QueueScorer())),))
POOL = [make_endpoint("a", waiting=1), make_endpoint("b"), make_endpoint("c", waiting=3)]


class WaitingLimit:
    """As full as the share of waiting requests in so many for each endpoint."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        waiting = sum(endpoint.metrics.waiting_queue_size for endpoint in endpoints)
        return waiting / (self._limit * len(endpoints)) if endpoints else 1.0


MARK = StateKey[str]("mark")


class MarkingScorer:
    """Needs the state that it was given, and leaves something in it."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        wanted = state.read(MARK)
        state.write(MARK, "seen")
        return [float(endpoint.name == wanted) for endpoint in endpoints]


# --- prioritize ------------------------------------------------------------------------------------------

REQUESTS = [
    queued("low", priority=-50, enqueued_at=0.0, prompt_tokens=10),
    queued("normal", priority=0, enqueued_at=1.0, prompt_tokens=2000),
    queued("urgent", priority=0, enqueued_at=2.0, prompt_tokens=500, ttft_target=1.0),
    queued("high", priority=50, enqueued_at=3.0, prompt_tokens=100),
]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("fifo", ["low", "normal", "urgent", "high"]),
        ("priority", ["high", "normal", "urgent", "low"]),
        ("slo-aware", ["urgent", "normal", "high", "low"]),
        ("cost-optimized", ["high", "urgent", "normal", "low"]),
        ("adaptive", ["high", "normal", "urgent", "low"]),
        ("aging", ["high", "normal", "urgent", "low"]),
    ],
)
def test_requests_are_in_the_order_of_the_strategy(strategy: str, expected: list[str]) -> None:
    assert [one.request.request_id for one in prioritize(REQUESTS, strategy, now=4.0)] == expected


def test_each_comes_with_its_place_and_the_reason() -> None:
    first = prioritize(REQUESTS, now=4.0)[0]
    assert (first.request, first.rank, first.effective_priority) == (REQUESTS[3].request, 3.0, 50)
    assert first.reason == "priority 50; waited 1 s"
    assert first.item is REQUESTS[3]


def test_a_plain_request_has_waited_since_it_was_received() -> None:
    requests = [replace(make_request("b"), received_at=2.0), replace(make_request("a"), received_at=1.0)]
    placed = prioritize(requests, "fifo", now=5.0)
    assert [(one.request.request_id, one.reason) for one in placed] == [
        ("a", "in order of arrival; waited 4 s"),
        ("b", "in order of arrival; waited 3 s"),
    ]


def test_overdue_requests_come_first_and_the_longest_overdue_before_them() -> None:
    items = [
        queued("high", priority=50, enqueued_at=50.0),
        queued("later", priority=0, enqueued_at=2.0),
        queued("earlier", priority=-50, enqueued_at=1.0),
    ]
    assert [one.request.request_id for one in prioritize(items, now=62.0)] == ["earlier", "later", "high"]
    assert [one.request.request_id for one in prioritize(items, now=60.9)] == ["high", "later", "earlier"]


def test_equal_requests_stay_in_their_order() -> None:
    items = [queued(str(number)) for number in range(5)]
    assert [one.request.request_id for one in prioritize(items, now=1.0)] == ["0", "1", "2", "3", "4"]


def test_an_adaptive_strategy_sees_what_waits_first() -> None:
    policy = AdaptiveOrderingPolicy()
    prioritize([queued("a", ttft_target=1.0), queued("b")], policy, now=1.0)
    assert policy.current == "slo-aware"


def test_a_strategy_of_ones_own_may_be_given() -> None:
    class LastComeFirst(PriorityOrderingPolicy):
        def rank(self, item: QueuedRequest, now: float) -> float:
            return -item.enqueued_at

    items = [queued("a", enqueued_at=1.0), queued("b", enqueued_at=2.0)]
    assert [one.request.request_id for one in prioritize(items, LastComeFirst(), now=3.0)] == ["b", "a"]


def test_an_unknown_strategy_is_refused() -> None:
    known = "fifo, priority, slo-aware, cost-optimized, adaptive, aging"
    with pytest.raises(ValueError, match=f"strategy must be one of {known}, got 'lifo'"):
        prioritize([], "lifo", now=0.0)


@given(items=st.lists(any_queued, max_size=12), strategy=st.sampled_from(sorted(STRATEGIES)), now=st.floats(0.0, 1e6))
def test_every_request_has_one_place_and_a_higher_band_goes_first(
    items: list[QueuedRequest], strategy: str, now: float
) -> None:
    placed = prioritize(items, strategy, now=now)
    assert sorted(map(id, items)) == sorted(id(one.item) for one in placed)
    policy = STRATEGIES[strategy]()
    waiting = [one for one in placed if policy.effective_priority(one.item, now).overdue_at > now]
    if strategy != "adaptive":
        assert [one.effective_priority for one in waiting] == sorted(
            (one.effective_priority for one in waiting), reverse=True
        )


# --- schedule --------------------------------------------------------------------------------------------


def names(assignments: list[Assignment]) -> list[tuple[str, str | None]]:
    return [(one.request.request_id, one.endpoint.name if one.endpoint else None) for one in assignments]


def test_each_assignment_counts_for_the_next() -> None:
    assigned = schedule([queued(str(number)) for number in range(4)], POOL[::2], profile=PROFILE, now=0.0)
    picked = [one.endpoint for one in assigned if one.endpoint is not None]
    assert [endpoint.name for endpoint in picked[:2]] == ["default/a", "default/a"]
    assert {endpoint.name for endpoint in picked[2:]} == {"default/a", "default/c"}
    assert [endpoint.metrics.waiting_queue_size for endpoint in picked] == [1, 2, 3, 3]
    assert [endpoint.in_flight for endpoint in picked if endpoint.name == "default/a"] == [0, 1, 2]


def test_the_best_goes_first_and_says_why() -> None:
    first = schedule(REQUESTS, POOL, profile=PROFILE, now=4.0)[0]
    assert first == Assignment(REQUESTS[3].request, POOL[1], "priority 50; waited 1 s")


def test_a_whole_scheduler_may_decide() -> None:
    scheduler = Scheduler([PROFILE], SingleProfileHandler())
    assert names(schedule([queued("r")], POOL, profile=scheduler, now=0.0)) == [("r", "default/b")]


def test_requests_beyond_the_capacity_go_nowhere() -> None:
    items = [queued("low", priority=-1), queued("high", priority=1), queued("lowest", priority=-2)]
    assigned = schedule(items, POOL, profile=PROFILE, now=0.0, detector=WaitingLimit(2))
    assert [one.request.request_id for one in assigned] == ["high", "low", "lowest"]
    assert [one.endpoint is None for one in assigned] == [False, False, True]
    assert assigned[2].reason == "the pool is full: its saturation is 1"


def test_a_request_without_an_endpoint_left_goes_nowhere_and_the_next_one_does() -> None:
    strict = SchedulerProfile(
        "strict", Named(MaxScorePicker()), (Named(LabelSelectorFilter({"tier": "gold"}), "tiers"),)
    )
    (one,) = schedule([queued("r")], POOL, profile=strict, now=0.0)
    assert one.endpoint is None
    assert one.reason == "profile 'strict' has no endpoints: filter 'tiers' removed every candidate"
    (other,) = schedule([queued("r")], [], profile=PROFILE, now=0.0)
    assert other.reason == "profile 'default' has no endpoints: there were no candidates"


def test_what_plugins_read_comes_with_the_request_and_is_not_changed() -> None:
    state = CycleState(7.0)
    state.write(MARK, "default/c")
    item = QueuedRequest(make_request(), 0.0, state=state)
    profile = SchedulerProfile("marked", Named(MaxScorePicker()), scorers=(WeightedScorer(Named(MarkingScorer())),))
    pool = tuple(POOL)
    assert names(schedule([item], POOL, profile=profile, now=9.0)) == [("r1", "default/c")]
    assert (state.read(MARK), state.now, tuple(POOL)) == ("default/c", 7.0, pool)


def test_a_broken_plugin_is_named() -> None:
    profile = SchedulerProfile(
        "marked", Named(MaxScorePicker()), scorers=(WeightedScorer(Named(MarkingScorer(), "marker")),)
    )
    with pytest.raises(PluginError, match="plugin 'marker' failed as Scorer: MissingStateError"):
        schedule([queued("r")], POOL, profile=profile, now=0.0)


def test_an_adaptive_strategy_sees_how_full_the_pool_is() -> None:
    policy = AdaptiveOrderingPolicy()
    schedule([queued(ttft_target=1.0)], POOL, policy, profile=PROFILE, now=0.0, detector=WaitingLimit(100))
    assert policy.current == "fifo"


@given(count=st.integers(0, 30), limit=st.integers(1, 5))
def test_no_more_is_assigned_than_there_is_room(count: int, limit: int) -> None:
    assigned = schedule(
        [queued(str(number)) for number in range(count)], POOL, profile=PROFILE, now=0.0, detector=WaitingLimit(limit)
    )
    placed = [one for one in assigned if one.endpoint is not None]
    assert len(assigned) == count
    assert len(placed) == min(count, max(0, 3 * limit - 4))
