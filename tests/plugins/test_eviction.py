import pytest

from turnout.framework import QueuedRequest
from turnout.framework.testing import check_signatures, make_request
from turnout.plugins.eviction import PriorityThenTimeEvictionOrderPolicy, SheddableEvictionFilter


def running(priority: int) -> QueuedRequest:
    return QueuedRequest(make_request(priority=priority), enqueued_at=0.0)


def test_the_lowest_priority_goes_first_and_of_equals_the_newest() -> None:
    policy = PriorityThenTimeEvictionOrderPolicy()
    check_signatures(policy)
    dispatched = [(-1, 5.0), (-2, 1.0), (-1, 7.0), (-2, 3.0), (0, 9.0)]
    order = sorted(dispatched, key=lambda pair: policy.eviction_rank(running(pair[0]), pair[1]))
    assert order == [(-2, 3.0), (-2, 1.0), (-1, 7.0), (-1, 5.0), (0, 9.0)]


@pytest.mark.parametrize(("priority", "expected"), [(-100, True), (-1, True), (0, False), (1, False)])
def test_only_a_negative_priority_may_be_evicted(priority: int, expected: bool) -> None:
    policy = SheddableEvictionFilter()
    check_signatures(policy)
    assert policy.evictable(running(priority)) is expected
