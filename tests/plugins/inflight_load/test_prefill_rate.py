import pytest

from turnout.plugins.inflight_load.prefill_rate import MAX_ENDPOINTS, PrefillRates


def test_the_assumed_rate_holds_until_something_was_measured() -> None:
    assert PrefillRates(10_000.0).of("a") == pytest.approx(10_000.0)


def test_a_rate_is_the_sum_of_the_tokens_by_the_sum_of_the_times() -> None:
    rates = PrefillRates(10_000.0)
    for _ in range(100):
        rates.observe("a", 4_000.0, 2.0)
    assert rates.of("a") == pytest.approx(2_000.0, rel=0.01)


def test_an_endpoint_that_was_not_measured_has_the_rate_of_the_others() -> None:
    rates = PrefillRates(10_000.0)
    for _ in range(100):
        rates.observe("a", 4_000.0, 2.0)
        rates.observe("b", 8_000.0, 2.0)
    assert 2_000.0 < rates.of("c") < 4_000.0
    assert rates.of("b") == pytest.approx(4_000.0, rel=0.01)


def test_an_endpoint_that_slows_down_is_followed_within_its_next_seconds_of_waiting() -> None:
    rates = PrefillRates(10_000.0)
    for _ in range(300):
        rates.observe("a", 10_000.0, 1.0)
    for _ in range(9):
        rates.observe("a", 10_000.0, 10.0)
    assert rates.of("a") < 1_500.0


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [
        pytest.param(100.0, 5.0, id="a short prompt"),
        pytest.param(5_000.0, 0.0, id="no time at all"),
        pytest.param(5_000.0, -1.0, id="a clock that went back"),
        pytest.param(5_000.0, float("nan"), id="no number"),
        pytest.param(5_000.0, float("inf"), id="never"),
        pytest.param(float("nan"), 1.0, id="no tokens"),
    ],
)
def test_what_says_nothing_of_the_rate_changes_nothing(tokens: float, seconds: float) -> None:
    rates = PrefillRates(10_000.0)
    rates.observe("a", tokens, seconds)
    assert len(rates) == 0
    assert rates.of("a") == pytest.approx(10_000.0)


def test_memory_is_bounded_and_endpoints_that_left_are_forgotten() -> None:
    rates = PrefillRates(10_000.0)
    for number in range(MAX_ENDPOINTS + 5):
        rates.observe(f"e{number}", 5_000.0, 1.0)
    assert len(rates) == MAX_ENDPOINTS
    rates.keep_only({"e1", "other"})
    assert len(rates) == 1
