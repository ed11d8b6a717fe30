from turnout.plugins.circuit_breaker import CircuitBreaker


def opened_at(now: float) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(3):
        assert breaker.allows(now)
        breaker.failed(now, now)
    return breaker


def test_three_failures_in_a_row_withhold_calls_for_five_seconds() -> None:
    breaker = opened_at(10.0)
    assert breaker.is_open
    assert [breaker.allows(now) for now in (10.0, 14.9, 15.0)] == [False, False, True]


def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.failed(1.0, 1.0)
        breaker.failed(1.0, 1.0)
        breaker.succeeded()
    assert not breaker.is_open


def test_the_pause_begins_when_the_call_failed_not_when_it_began() -> None:
    breaker = CircuitBreaker()
    for _ in range(3):
        breaker.failed(10.0, 15.0)
    assert [breaker.allows(now) for now in (15.0, 19.9, 20.0)] == [False, False, True]


def test_only_one_call_at_a_time_tries_whether_it_works_again() -> None:
    breaker = opened_at(10.0)
    assert [breaker.allows(now) for now in (15.0, 15.1, 19.9)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.allows(20.0), breaker.is_open] == [True, False]


def test_each_failed_trial_doubles_the_pause_up_to_a_minute() -> None:
    breaker = opened_at(0.0)
    trials = []
    for now in range(400):
        if breaker.allows(now):
            trials.append(now)
            breaker.failed(now, now)
    assert trials == [5, 15, 35, 75, 135, 195, 255, 315, 375]


def test_a_trial_of_whose_end_nobody_hears_is_followed_by_another() -> None:
    breaker = opened_at(10.0)
    assert [breaker.allows(now) for now in (15.0, 19.9, 20.0)] == [True, False, True]


def test_failures_of_calls_that_began_before_the_breaker_opened_do_not_lengthen_the_pause() -> None:
    breaker = opened_at(10.0)
    for _ in range(100):
        breaker.failed(9.0, 12.0)
    assert breaker.allows(15.0)


def test_after_a_success_the_pause_is_short_again() -> None:
    breaker = opened_at(0.0)
    for now in (5.0, 15.0):
        assert breaker.allows(now)
        breaker.failed(now, now)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(100.0, 100.0)
    assert [breaker.allows(now) for now in (104.9, 105.0)] == [False, True]
