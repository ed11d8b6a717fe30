from turnout.epp.demo.overload.answers import Answers


def test_two_runs_share_nothing() -> None:
    one, other = Answers(), Answers()
    one.late.append(0.1)
    assert other.late == []
