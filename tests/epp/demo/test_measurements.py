from turnout.epp.demo.measurements import Measurements


def test_a_run_lasts_from_the_first_request_to_the_last_answer() -> None:
    assert Measurements(started=10.0, ended=12.5).seconds == 2.5


def test_a_run_without_time_has_no_division_by_zero() -> None:
    assert Measurements().seconds > 0.0
