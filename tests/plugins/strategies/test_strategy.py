from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.queued import any_queued, queued
from turnout.framework import EffectivePriorityPolicy, OrderingPolicy, QueuedRequest
from turnout.framework.testing import check_ordering
from turnout.plugins.strategies.embedding import STRATEGIES
from turnout.plugins.strategies.strategy import Strategy, waited


def test_a_reason_says_how_long_a_request_has_waited() -> None:
    assert waited(queued(enqueued_at=10.0), 12.345) == "waited 2.35 s"
    assert waited(queued(enqueued_at=10.0), 9.0) == "waited 0 s"


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
@given(item=any_queued, now=st.floats(0.0, 1e6))
def test_every_strategy_keeps_the_contracts_of_an_ordering_policy(
    make: Callable[[], Strategy], item: QueuedRequest, now: float
) -> None:
    strategy = make()
    assert isinstance(strategy, OrderingPolicy)
    assert isinstance(strategy, EffectivePriorityPolicy)
    check_ordering(strategy, item, now)
    effective = strategy.effective_priority(item, now)
    assert effective == strategy.effective_priority(item, now)
    assert effective.until > now
    assert effective.overdue_at > item.enqueued_at
    assert strategy.reason(item, now)


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
@given(item=any_queued, times=st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 1e6)))
def test_a_rank_does_not_change_with_the_time(
    make: Callable[[], Strategy], item: QueuedRequest, times: tuple[float, float]
) -> None:
    strategy = make()
    assert strategy.rank(item, times[0]) == strategy.rank(item, times[1])
