import pytest

from turnout.epp.flowcontrol.pace import Pace


def test_the_rate_is_that_of_the_last_dispatches_and_falls_while_nothing_leaves() -> None:
    pace = Pace()
    assert pace.rate(0.0) is None
    pace.dispatched(10.0)
    assert pace.expected_wait(3, 11.0) is None
    pace.dispatched(12.0)
    assert pace.rate(12.0) == 0.5
    assert pace.expected_wait(3, 12.0) == 8.0
    assert pace.rate(20.0) == pytest.approx(0.1)


def test_what_is_older_than_a_minute_says_nothing() -> None:
    pace = Pace()
    pace.dispatched(10.0)
    pace.dispatched(12.0)
    assert pace.rate(71.0) is None


def test_two_dispatches_at_once_are_no_infinite_rate() -> None:
    pace = Pace()
    pace.dispatched(10.0)
    pace.dispatched(10.0)
    assert pace.rate(10.0) is None
