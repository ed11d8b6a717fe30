from plugins.queued import queued
from turnout.framework import EffectivePriority
from turnout.plugins.strategies.fifo import FifoOrderingPolicy

POLICY = FifoOrderingPolicy()


def test_who_comes_first_goes_first_whatever_the_priority() -> None:
    early, late = queued(priority=-100, enqueued_at=1.0), queued(priority=100, enqueued_at=2.0)
    assert POLICY.rank(early, 3.0) < POLICY.rank(late, 3.0)
    assert POLICY.effective_priority(early, 3.0) == POLICY.effective_priority(late, 3.0) == EffectivePriority(0)


def test_the_reason_is_the_arrival() -> None:
    assert POLICY.reason(queued(enqueued_at=1.0), 3.0) == "in order of arrival; waited 2 s"
