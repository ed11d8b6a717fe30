from math import inf
from random import Random

import pytest

from turnout.epp.datalayer.pacing import Pace, most_overdue


class Middle(Random):
    """Always the middle of the range, so that there is no jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def pace(interval: float = 0.05) -> Pace:
    return Pace(interval, 10.0, Middle())


def test_the_first_scrape_comes_within_one_interval() -> None:
    assert pace().due(busy=False, sharers=1000) == 10.025
    firsts = [Pace(0.05, 10.0, Random(seed)).due(busy=False, sharers=1) for seed in range(50)]
    assert all(10.0 <= due <= 10.05 for due in firsts)
    assert len(set(firsts)) == 50


@pytest.mark.parametrize(
    ("busy", "sharers", "due"),
    [
        pytest.param(True, 1000, 11.05, id="busy in a large pool"),
        pytest.param(False, 5, 11.05, id="quiet in a small pool"),
        pytest.param(False, 100, 12.0, id="quiet among a hundred"),
        pytest.param(False, 1000, 21.0, id="quiet among a thousand"),
    ],
)
def test_a_quiet_endpoint_shares_a_hundred_scrapes_a_second(busy: bool, sharers: int, due: float) -> None:
    one = pace()
    one.begun(11.0)
    one.ended(11.04, ok=True)
    assert one.due(busy=busy, sharers=sharers) == pytest.approx(due)


def test_nothing_is_due_while_a_scrape_is_under_way() -> None:
    one = pace()
    one.begun(11.0)
    assert one.due(busy=True, sharers=1) == inf


def test_a_failing_endpoint_is_asked_ever_more_rarely_and_once_a_second_in_the_end() -> None:
    one = pace()
    waits = []
    for _ in range(7):
        one.ended(20.0, ok=False)
        waits.append(round(one.due(busy=False, sharers=1000) - 20.0, 6))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    one.begun(21.0)
    one.ended(22.0, ok=True)
    assert one.due(busy=True, sharers=1000) == 21.05


def test_a_source_slower_than_the_probes_keeps_its_interval() -> None:
    one = pace(interval=5.0)
    one.ended(20.0, ok=False)
    assert one.due(busy=True, sharers=1) == 25.0


def test_steps_vary_by_a_tenth() -> None:
    one = Pace(1.0, 0.0, Random(1))
    waits = []
    for _ in range(100):
        one.begun(0.0)
        one.ended(0.0, ok=True)
        waits.append(one.due(busy=True, sharers=1))
    assert 0.9 <= min(waits) < 0.95
    assert 1.05 < max(waits) <= 1.1


def test_a_round_takes_what_is_due_the_longest_overdue_first() -> None:
    due = [(3.0, "c"), (1.0, "a"), (2.0, "b"), (inf, "d")]
    assert most_overdue(due, 2.5, 0.05) == ["a", "b"]


def test_a_round_is_bounded_by_three_hundred_scrapes_a_second() -> None:
    due = [(float(index), index) for index in range(100)]
    assert most_overdue(due, 200.0, 0.05) == list(range(15))
    assert most_overdue(due, 200.0, 0.001) == [0]
