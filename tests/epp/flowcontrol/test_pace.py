import pytest

from turnout.epp.flowcontrol.pace import Pace


def served(pace: Pace, *dispatches: tuple[int, float]) -> None:
    pace.waiting(dispatches[0][1], some=True)
    for priority, now in dispatches:
        pace.dispatched(priority, now)


def test_the_wait_is_that_of_the_last_dispatches_and_grows_while_nothing_leaves() -> None:
    pace = Pace()
    assert pace.expected_wait(3, 0.0) is None
    served(pace, (0, 10.0))
    assert pace.expected_wait(3, 11.0) is None
    pace.dispatched(0, 12.0)
    assert pace.expected_wait(3, 12.0) == 8.0
    assert pace.expected_wait(3, 20.0) == pytest.approx(40.0)


def test_what_is_older_than_a_minute_says_nothing() -> None:
    pace = Pace()
    served(pace, (0, 10.0), (0, 12.0))
    assert pace.expected_wait(0, 71.0) is None


def test_two_dispatches_at_once_are_no_infinite_rate() -> None:
    pace = Pace()
    served(pace, (0, 10.0), (0, 10.0))
    assert pace.expected_wait(0, 10.0) is None


def test_time_in_which_nobody_waits_does_not_count() -> None:
    pace = Pace()
    served(pace, (0, 10.0), (0, 11.0))
    pace.waiting(11.0, some=False)
    pace.dispatched(0, 20.0)
    pace.waiting(40.0, some=True)
    pace.dispatched(0, 41.0)
    assert pace.expected_wait(0, 41.0) == 1.0


def test_who_comes_later_with_a_higher_priority_goes_first() -> None:
    pace = Pace()
    for second in range(11):
        pace.arrived(5, float(second))
        served(pace, (5, second + 0.0), (0, second + 0.0))
    # Two leave in a second, one of which comes anew.
    assert pace.expected_wait(0, 10.0, priority=5) == pytest.approx(10.0 / 21)
    assert pace.expected_wait(0, 10.0, priority=0) == pytest.approx(10.0 / 11)


def test_a_burst_that_came_long_ago_is_not_expected_again() -> None:
    pace = Pace()
    for _ in range(100):
        pace.arrived(5, 0.0)
    served(pace, *((5, float(second)) for second in range(1, 12)))
    # 100 came in the 11 seconds watched, more than left: nothing remains for the lower priority.
    assert pace.expected_wait(0, 11.0, priority=0) == 10.0
    for second in range(12, 41):
        pace.dispatched(5, float(second))
    for second in range(30):
        pace.arrived(0, 11.0 + second)
    # 100 above in 40 seconds, of which 39 left in 39.
    assert pace.expected_wait(0, 40.0, priority=0) == 39.0
    for second in range(41, 61):
        pace.arrived(0, float(second))
        pace.dispatched(5, float(second))
    # The burst is still within the last 128 arrivals, but not in the last minute.
    assert pace.expected_wait(0, 60.5, priority=0) == pytest.approx(59.5 / 59)


def test_where_nothing_is_left_for_a_priority_at_most_one_is_expected_in_the_time_watched() -> None:
    pace = Pace()
    for tenth in range(101):
        pace.arrived(5, tenth / 10)
        served(pace, (5, tenth / 10))
    assert pace.expected_wait(2, 10.0, priority=0) == pytest.approx(30.0)
