from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import NEVER, OrderingPolicy, QueuedRequest
from turnout.framework.testing import check_ordering, make_request
from turnout.plugins.request_order import EdfOrderingPolicy, FcfsOrderingPolicy, SloDeadlineOrderingPolicy


def queued(
    enqueued_at: float = 0.0, deadline: float = NEVER, received_at: float = 0.0, ttft_target: float | None = None
) -> QueuedRequest:
    request = replace(make_request(), received_at=received_at, ttft_target=ttft_target)
    return QueuedRequest(request, enqueued_at, deadline)


@pytest.mark.parametrize(
    ("policy", "item", "expected"),
    [
        pytest.param(FcfsOrderingPolicy(), queued(3.0, 4.0, 1.0, 0.5), 3.0, id="fcfs: the arrival"),
        pytest.param(EdfOrderingPolicy(), queued(3.0, 4.0, 1.0, 0.5), 4.0, id="edf: the deadline"),
        pytest.param(EdfOrderingPolicy(), queued(3.0), float("inf"), id="edf: no deadline comes last"),
        pytest.param(SloDeadlineOrderingPolicy(), queued(3.0, 4.0, 1.0, 0.5), 1.5, id="slo: when the token is due"),
        pytest.param(SloDeadlineOrderingPolicy(), queued(3.0, 4.0, 1.0), float("inf"), id="slo: no target comes last"),
    ],
)
def test_a_rank_is_a_time(policy: OrderingPolicy, item: QueuedRequest, expected: float) -> None:
    assert policy.rank(item, now=10.0) == expected


def test_each_policy_has_its_own_idea_of_who_is_first() -> None:
    early = queued(enqueued_at=1.0, deadline=9.0, received_at=1.0, ttft_target=5.0)
    urgent = queued(enqueued_at=2.0, deadline=NEVER, received_at=2.0, ttft_target=0.5)
    limited = queued(enqueued_at=3.0, deadline=4.0, received_at=3.0, ttft_target=None)
    waiting = [limited, urgent, early]

    def first(policy: OrderingPolicy) -> QueuedRequest:
        return min(waiting, key=lambda item: policy.rank(item, 10.0))

    assert first(FcfsOrderingPolicy()) is early
    assert first(EdfOrderingPolicy()) is limited
    assert first(SloDeadlineOrderingPolicy()) is urgent


times = st.floats(0.0, 1e9)


@pytest.mark.parametrize("policy", [FcfsOrderingPolicy(), EdfOrderingPolicy(), SloDeadlineOrderingPolicy()])
@given(
    enqueued_at=times,
    deadline=st.one_of(times, st.just(NEVER)),
    received_at=times,
    target=st.one_of(st.none(), st.floats(0.0, exclude_min=True, allow_infinity=False)),
)
def test_the_policies_keep_their_contract(
    policy: OrderingPolicy, enqueued_at: float, deadline: float, received_at: float, target: float | None
) -> None:
    check_ordering(policy, queued(enqueued_at, deadline, received_at, target), 0.0)
