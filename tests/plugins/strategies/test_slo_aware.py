from collections.abc import Callable
from datetime import timedelta

import pytest

from plugins.queued import queued
from turnout.framework import QueuedRequest
from turnout.plugins.strategies.slo_aware import SloAwareOrderingPolicy

POLICY = SloAwareOrderingPolicy(prefill_tokens_per_second=1000.0)


def order(*items: QueuedRequest) -> list[str]:
    return [item.request.request_id for item in sorted(items, key=lambda item: POLICY.rank(item, 0.0))]


def test_the_latest_start_is_the_target_less_the_time_for_the_prompt() -> None:
    item = queued(enqueued_at=10.0, ttft_target=2.0, prompt_tokens=500)
    assert POLICY.rank(item, 11.0) == 11.5
    assert POLICY.rank(queued(enqueued_at=10.0, ttft_target=2.0), 11.0) == 12.0


def test_the_least_slack_goes_first_and_requests_without_a_target_last() -> None:
    assert order(
        queued("patient", ttft_target=9.0),
        queued("without"),
        queued("urgent", ttft_target=1.0),
        queued("long", ttft_target=9.0, prompt_tokens=8500),
        queued("missed", ttft_target=0.001, prompt_tokens=5000),
        queued("for years", ttft_target=1e300),
    ) == ["missed", "long", "urgent", "patient", "for years", "without"]


def test_requests_without_a_target_have_one_rank_so_arrival_decides() -> None:
    assert POLICY.rank(queued(enqueued_at=1.0), 3.0) == POLICY.rank(queued(enqueued_at=2.0), 3.0)


def test_negative_priorities_come_after_all_others() -> None:
    bands = [POLICY.effective_priority(queued(priority=priority), 0.0).priority for priority in (100, 0, -1, -100)]
    assert bands == [0, 0, -1, -1]


def test_the_wait_is_bounded() -> None:
    assert POLICY.effective_priority(queued(enqueued_at=5.0), 6.0).overdue_at == 65.0
    assert SloAwareOrderingPolicy(max_wait=timedelta()).effective_priority(queued(), 6.0).overdue_at == float("inf")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param(queued(ttft_target=2.0, prompt_tokens=500), "TTFT target of 2 s; 0.5 s of slack", id="slack"),
        pytest.param(
            queued(ttft_target=0.5), "TTFT target of 0.5 s, missed by 0.5 s even if it starts at once", id="missed"
        ),
        pytest.param(queued(), "no TTFT target, so after those with one; waited 1 s", id="no target"),
        pytest.param(queued(enqueued_at=-60.0), "waited the 60 s after which a request goes next", id="overdue"),
    ],
)
def test_the_reason_is_the_slack(item: QueuedRequest, reason: str) -> None:
    assert POLICY.reason(item, 1.0) == reason


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: SloAwareOrderingPolicy(0.0),
            "prefill_tokens_per_second must be positive and finite, got 0.0",
        ),
        (
            lambda: SloAwareOrderingPolicy(float("nan")),
            "prefill_tokens_per_second must be positive and finite, got nan",
        ),
        (lambda: SloAwareOrderingPolicy(max_wait=timedelta(seconds=-1)), "max_wait must be at least 0s"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], SloAwareOrderingPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
