from turnout.epp.demo.timed.goals import Goal


def test_a_goal_is_reached_or_not() -> None:
    assert Goal("g", reached=True) != Goal("g", reached=False)
