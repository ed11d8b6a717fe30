from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.demo.timed.answers import Answers


def test_two_runs_share_nothing() -> None:
    one: Answers[Arrival] = Answers()
    other: Answers[Arrival] = Answers()
    one.late.append(0.1)
    assert other.late == []
