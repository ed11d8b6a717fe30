from collections.abc import Callable
from datetime import timedelta

import pytest

from plugins.queued import queued
from turnout.framework import QueuedRequest
from turnout.plugins.strategies.cost_optimized import CostOptimizedOrderingPolicy

POLICY = CostOptimizedOrderingPolicy()


@pytest.mark.parametrize(
    ("policy", "item", "cost"),
    [
        pytest.param(POLICY, queued(prompt_tokens=100), 612, id="a prompt and twice the expected answer"),
        pytest.param(POLICY, queued(prompt_tokens=100, max_output_tokens=10), 120, id="a short answer"),
        pytest.param(POLICY, queued(prompt_tokens=100, max_output_tokens=9999), 612, id="at most what is expected"),
        pytest.param(POLICY, queued(), 512, id="no prompt known"),
        pytest.param(CostOptimizedOrderingPolicy(4.0, 50), queued(prompt_tokens=7), 207, id="other figures"),
        pytest.param(CostOptimizedOrderingPolicy(0.0), queued(prompt_tokens=7), 7, id="answers cost nothing"),
    ],
)
def test_the_cost_is_what_it_takes(policy: CostOptimizedOrderingPolicy, item: QueuedRequest, cost: float) -> None:
    assert policy.rank(item, 0.0) == cost


def test_negative_priorities_come_after_all_others_and_the_wait_is_bounded() -> None:
    assert POLICY.effective_priority(queued(priority=100, enqueued_at=5.0), 6.0) == (0, float("inf"), 65.0)
    assert POLICY.effective_priority(queued(priority=-1, enqueued_at=5.0), 6.0) == (-1, float("inf"), 65.0)
    assert CostOptimizedOrderingPolicy(max_wait=timedelta()).effective_priority(queued(), 6.0).overdue_at == float(
        "inf"
    )


def test_the_reason_is_the_cost_until_the_request_is_overdue() -> None:
    assert POLICY.reason(queued(prompt_tokens=100), 1.0) == "expected cost of 612 tokens"
    assert POLICY.reason(queued(prompt_tokens=100), 60.0) == "waited the 60 s after which a request goes next"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CostOptimizedOrderingPolicy(-1.0), "output_weight must be at least 0 and finite, got -1.0"),
        (lambda: CostOptimizedOrderingPolicy(float("inf")), "output_weight must be at least 0 and finite, got inf"),
        (
            lambda: CostOptimizedOrderingPolicy(expected_output_tokens=-1),
            "expected_output_tokens must be at least 0, got -1",
        ),
        (lambda: CostOptimizedOrderingPolicy(max_wait=timedelta(seconds=-1)), "max_wait must be at least 0s"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], CostOptimizedOrderingPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
