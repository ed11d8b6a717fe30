"""The strategies in the queue of flow control, against what ``prioritize`` says."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.flowcontrol.fakes import policies_of, settings
from plugins.queued import queued
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.turns import LaneView, next_turn
from turnout.framework import PluginError, QueuedRequest
from turnout.framework.testing import make_endpoint
from turnout.plugins.strategies.embedding import STRATEGIES, prioritize

ENDPOINTS = (make_endpoint("a"),)


class Queue:
    """Requests of one flow, dispatched one by one."""

    def __init__(self, strategy: str) -> None:
        self.failures: list[PluginError] = []
        made = settings(STRATEGIES[strategy](), default_request_ttl=None, no_endpoint_request_ttl=None)
        self._core = FlowController(*policies_of(made, self.failures.append))

    def add(self, item: QueuedRequest) -> None:
        self._core.add(item, "all", item.enqueued_at, pool_empty=False)

    def next(self, now: float) -> str:
        self._core.advance(now)
        turn = next_turn([(lane, LaneView(ENDPOINTS, 0.0)) for lane in self._core.lanes], self._core.policies, now)
        assert isinstance(turn, Entry)
        return self._core.dispatch(turn, now).request.request_id


arrivals = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),
        st.sampled_from([-100, -50, -1, 0, 7, 50, 100]),
        st.none() | st.floats(0.1, 60.0),
        st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=15,
)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES.keys() - {"adaptive"}))
@given(arrivals=arrivals, pause=st.floats(0.1, 30.0))
def test_the_queue_dispatches_in_the_order_of_the_function(
    strategy: str, arrivals: Sequence[tuple[float, int, float | None, int]], pause: float
) -> None:
    queue, now, waiting = Queue(strategy), 0.0, list[QueuedRequest]()
    for number, (passed, priority, target, tokens) in enumerate(arrivals):
        now += passed
        waiting.append(
            queued(str(number), priority=priority, enqueued_at=now, ttft_target=target, prompt_tokens=tokens)
        )
        queue.add(waiting[-1])
    while waiting:
        now += pause
        expected = prioritize(waiting, STRATEGIES[strategy](), now=now)[0]
        assert queue.next(now) == expected.request.request_id
        waiting.remove(expected.item)
    assert queue.failures == []
