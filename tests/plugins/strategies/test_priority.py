from datetime import timedelta

import pytest

from plugins.queued import queued
from turnout.plugins.strategies.priority import PriorityOrderingPolicy


def test_a_request_waits_in_the_band_of_its_own_priority_in_order_of_arrival() -> None:
    policy = PriorityOrderingPolicy()
    assert policy.effective_priority(queued(priority=50, enqueued_at=7.0), 8.0) == (50, float("inf"), 67.0)
    assert policy.rank(queued(enqueued_at=7.0), 8.0) < policy.rank(queued(enqueued_at=7.5), 8.0)


@pytest.mark.parametrize(("wait", "overdue_at"), [(timedelta(seconds=5), 12.0), (timedelta(), float("inf"))])
def test_the_wait_is_bounded_as_configured(wait: timedelta, overdue_at: float) -> None:
    policy = PriorityOrderingPolicy(wait)
    assert policy.effective_priority(queued(enqueued_at=7.0), 8.0).overdue_at == overdue_at


def test_the_reason_is_the_priority_until_the_request_is_overdue() -> None:
    policy, item = PriorityOrderingPolicy(), queued(priority=-5, enqueued_at=7.0)
    assert policy.reason(item, 8.0) == "priority -5; waited 1 s"
    assert policy.reason(item, 67.0) == "waited the 60 s after which a request goes next"


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(ValueError, match="max_wait must be at least 0s"):
        PriorityOrderingPolicy(timedelta(seconds=-1))
