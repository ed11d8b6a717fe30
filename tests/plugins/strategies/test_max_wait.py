from datetime import timedelta

import pytest

from plugins.queued import queued
from turnout.plugins.strategies.max_wait import DEFAULT_MAX_WAIT, MaxWait

ITEM = queued(enqueued_at=100.0)


def test_a_request_is_overdue_when_it_has_waited_so_long() -> None:
    bound = MaxWait(timedelta(seconds=2.5))
    assert bound.overdue_at(ITEM) == 102.5
    assert bound.reason(ITEM, 102.4) == ""
    assert bound.reason(ITEM, 102.5) == "waited the 2.5 s after which a request goes next"


def test_zero_means_never_and_a_minute_is_the_default() -> None:
    bound = MaxWait(timedelta())
    assert bound.overdue_at(ITEM) == float("inf")
    assert bound.reason(ITEM, 1e9) == ""
    assert timedelta(minutes=1) == DEFAULT_MAX_WAIT


def test_a_negative_wait_is_refused_by_the_name_of_its_parameter() -> None:
    with pytest.raises(ValueError, match="max_wait must be at least 0s, got -1 day, 23:59:59"):
        MaxWait(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="mine must be at least 0s"):
        MaxWait(timedelta(seconds=-1), "mine")
