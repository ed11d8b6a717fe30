from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.queued import queued
from turnout.plugins.strategies.aging import AgingLevel, AgingOrderingPolicy
from turnout.plugins.strategies.embedding import prioritize


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


THREE = (AgingLevel(0, seconds(10)), AgingLevel(5, seconds(4)), AgingLevel(9))


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        pytest.param(0, [(0, 110.0), (5, 114.0), (5, 114.0), (9, float("inf"))], id="from the lowest level"),
        pytest.param(5, [(5, 104.0), (9, float("inf")), (9, float("inf")), (9, float("inf"))], id="from the second"),
        pytest.param(9, [(9, float("inf"))] * 4, id="at the top"),
        pytest.param(20, [(20, float("inf"))] * 4, id="above the top"),
        pytest.param(3, [(3, 110.0), (5, 114.0), (5, 114.0), (9, float("inf"))], id="between two levels"),
        pytest.param(-7, [(-7, 110.0), (5, 114.0), (5, 114.0), (9, float("inf"))], id="below all levels"),
    ],
)
def test_a_request_climbs_level_by_level(priority: int, expected: list[tuple[int, float]]) -> None:
    policy, item = AgingOrderingPolicy(THREE), queued(priority=priority, enqueued_at=100.0)
    answers = [policy.effective_priority(item, now) for now in (100.0, 110.0, 113.9, 114.0)]
    assert [(answer.priority, answer.until) for answer in answers] == expected


@pytest.mark.parametrize(("priority", "wait"), [(-100, 120.0), (-50, 60.0), (0, 30.0), (50, 10.0), (100, 0.0)])
def test_the_default_levels_reach_the_top_after_the_documented_wait(priority: int, wait: float) -> None:
    policy, item = AgingOrderingPolicy(), queued(priority=priority)
    assert policy.effective_priority(item, wait).priority == 100
    assert wait == 0.0 or policy.effective_priority(item, wait - 0.001).priority < 100


def test_a_level_without_a_time_ends_the_climb() -> None:
    policy = AgingOrderingPolicy((AgingLevel(0, seconds(1)), AgingLevel(5), AgingLevel(9)))
    assert policy.effective_priority(queued(), 1e9) == (5, float("inf"), float("inf"))


def test_levels_may_come_in_any_order() -> None:
    policy = AgingOrderingPolicy(tuple(reversed(THREE)))
    assert policy.effective_priority(queued(), 10.0) == (5, 14.0, float("inf"))


def test_requests_of_one_band_go_in_order_of_arrival_so_that_a_promoted_one_comes_early() -> None:
    policy = AgingOrderingPolicy(THREE)
    items = [queued("fresh", priority=5, enqueued_at=9.0), queued("promoted", priority=0, enqueued_at=0.0)]
    assert [one.request.request_id for one in prioritize(items, policy, now=9.9)] == ["fresh", "promoted"]
    assert [one.request.request_id for one in prioritize(items, policy, now=10.0)] == ["promoted", "fresh"]


def test_a_request_is_overdue_after_the_wait_of_its_level_or_of_all() -> None:
    levels = (AgingLevel(-5, max_wait=seconds(0)), AgingLevel(0, max_wait=seconds(3)), AgingLevel(9))
    policy = AgingOrderingPolicy(levels, max_wait=seconds(40))
    overdue = [policy.effective_priority(queued(priority=priority), 1.0).overdue_at for priority in (-5, 0, 9)]
    assert overdue == [float("inf"), 3.0, 40.0]


def test_the_reason_tells_own_and_effective_priority() -> None:
    policy = AgingOrderingPolicy(THREE, max_wait=seconds(40))
    assert policy.reason(queued(), 3.0) == "priority 0; waited 3 s"
    assert policy.reason(queued(), 12.0) == "priority 0 counts as 5; waited 12 s"
    assert policy.reason(queued(), 40.0) == "waited the 40 s after which a request goes next"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: AgingOrderingPolicy(()), "levels must have at least one level, got none", id="none"),
        pytest.param(
            lambda: AgingOrderingPolicy((AgingLevel(1), AgingLevel(1))),
            "levels must have priorities of their own, got 1 twice",
            id="one priority twice",
        ),
        pytest.param(
            lambda: AgingOrderingPolicy((AgingLevel(0, seconds(0)), AgingLevel(1))),
            "levels: promote_after of priority 0 must be positive, got 0:00:00",
            id="no time at all",
        ),
        pytest.param(
            lambda: AgingOrderingPolicy((AgingLevel(0, seconds(1)),)),
            "levels: promote_after of priority 0 must be left out, because no level is higher, got 0:00:01",
            id="beyond the top",
        ),
        pytest.param(
            lambda: AgingOrderingPolicy((AgingLevel(0, max_wait=seconds(-1)),)),
            "levels: max_wait of priority 0 must be at least 0s",
            id="a negative wait of a level",
        ),
        pytest.param(
            lambda: AgingOrderingPolicy(max_wait=seconds(-1)), "max_wait must be at least 0s", id="a negative wait"
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(build: Callable[[], AgingOrderingPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# --- properties ------------------------------------------------------------------------------------------


@st.composite
def policies(draw: st.DrawFn) -> tuple[AgingOrderingPolicy, int]:
    """A policy with any levels, and the priority of the top."""
    priorities = sorted(draw(st.sets(st.integers(-100, 100), min_size=1, max_size=6)))
    times = st.none() | st.timedeltas(timedelta(microseconds=1), timedelta(minutes=5))
    levels = [AgingLevel(priority, draw(times)) for priority in priorities[:-1]]
    return AgingOrderingPolicy((*levels, AgingLevel(priorities[-1])), draw(times) or timedelta()), priorities[-1]


@given(made=policies(), priority=st.integers(-150, 150), enqueued=st.floats(0, 1e6), waits=st.lists(st.floats(0, 2000)))
def test_the_effective_priority_never_falls_with_waiting_and_ends_at_the_top(
    made: tuple[AgingOrderingPolicy, int], priority: int, enqueued: float, waits: list[float]
) -> None:
    policy, top = made
    item = queued(priority=priority, enqueued_at=enqueued)
    seen = [policy.effective_priority(item, enqueued + wait).priority for wait in sorted(waits)]
    assert seen == sorted(seen)
    assert all(priority <= each <= max(priority, top) for each in seen)


@given(made=policies(), priority=st.integers(-150, 150), enqueued=st.floats(0, 1e6), share=st.floats(0, 1))
def test_the_effective_priority_changes_at_until_and_never_in_between(
    made: tuple[AgingOrderingPolicy, int], priority: int, enqueued: float, share: float
) -> None:
    policy, _ = made
    item, now = queued(priority=priority, enqueued_at=enqueued), enqueued
    for _step in range(7):
        answer = policy.effective_priority(item, now)
        if answer.until == float("inf"):
            assert policy.effective_priority(item, now + 1e9) == answer
            return
        assert answer.until > now
        between = now + share * (answer.until - now)
        if between < answer.until:
            assert policy.effective_priority(item, between) == answer
        now = answer.until
        assert policy.effective_priority(item, now).priority > answer.priority
    raise AssertionError("there are at most 6 levels to climb")


@given(made=policies(), priority=st.integers(-150, 150), times=st.lists(st.floats(-1e6, 1e6), max_size=10))
def test_a_clock_that_goes_back_and_forth_gives_the_answers_of_each_time(
    made: tuple[AgingOrderingPolicy, int], priority: int, times: list[float]
) -> None:
    policy, _ = made
    item = queued(priority=priority)
    asked = [policy.effective_priority(item, now) for now in times]
    assert asked == [made[0].effective_priority(item, now) for now in times]
    assert all(answer.priority == priority for answer, now in zip(asked, times, strict=True) if now < 0.0)


@given(
    waiting=st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 30)), min_size=1, max_size=12),
    flood=st.lists(st.integers(-100, 100), min_size=40, max_size=40),
    bound=st.integers(1, 20),
)
def test_at_most_those_that_became_overdue_earlier_go_before_an_overdue_request(
    waiting: list[tuple[int, int]], flood: list[int], bound: int
) -> None:
    """One dispatch a second, while one request of any priority comes in every second."""
    policy = AgingOrderingPolicy(max_wait=seconds(bound))
    items = [queued(f"w{number}", priority=own, enqueued_at=float(at)) for number, (own, at) in enumerate(waiting)]
    items += [queued(f"f{second}", priority=own, enqueued_at=float(second)) for second, own in enumerate(flood)]
    left, dispatched_at = list(items), dict[str, int]()
    for second in range(len(flood)):
        present = [item for item in left if item.enqueued_at <= second]
        best = prioritize(present, policy, now=float(second))[0]
        left.remove(best.item)
        dispatched_at[best.request.request_id] = second
    for item in items:
        overdue_at = int(item.enqueued_at) + bound
        earlier = sum(
            other.enqueued_at <= item.enqueued_at and dispatched_at.get(other.request.request_id, 99) >= overdue_at
            for other in items
            if other is not item
        )
        if overdue_at + earlier < len(flood):
            assert dispatched_at[item.request.request_id] <= overdue_at + earlier
