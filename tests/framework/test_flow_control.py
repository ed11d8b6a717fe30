from turnout.framework import NEVER, EffectivePriority, FlowHead, QueuedRequest
from turnout.framework.testing import make_request


def test_a_queued_request_without_a_deadline_waits_for_ever() -> None:
    queued = QueuedRequest(make_request(), enqueued_at=1.0)
    assert queued.deadline == NEVER == float("inf")
    assert FlowHead("tenant", queued, 3).head is queued


def test_an_effective_priority_holds_for_good_unless_it_says_otherwise() -> None:
    assert EffectivePriority(5) == (5, float("inf"), float("inf"))
