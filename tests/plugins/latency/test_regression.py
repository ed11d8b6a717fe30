import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.latency.regression import MAX_FACTOR, MIN_FACTOR, PartFactors


def test_the_factor_of_each_part_is_found_from_sums_of_parts() -> None:
    factors, rng = PartFactors(["prompt", "queue"]), random.Random(0)
    for _ in range(200):
        prompt = rng.random()
        factors.learn({"prompt": prompt, "queue": 1.0 - prompt}, 3.0 * prompt + 0.5 * (1.0 - prompt))
    assert factors.values == pytest.approx((3.0, 0.5), rel=0.1)


def test_old_observations_fade() -> None:
    factors = PartFactors(["prompt"])
    for ratio in [2.0] * 100 + [6.0] * 50:
        factors.learn({"prompt": 1.0}, ratio)
    assert factors.values[0] == pytest.approx(6.0, rel=0.1)


def test_a_part_that_is_not_seen_any_more_returns_to_the_prior() -> None:
    factors = PartFactors(["prompt", "adapter"])
    for _ in range(50):
        factors.learn({"adapter": 1.0}, 4.0)
    assert factors.values[1] == pytest.approx(4.0, rel=0.1)
    for _ in range(5000):
        factors.learn({"prompt": 1.0}, 2.0)
    assert factors.values == pytest.approx((2.0, 1.0), rel=0.1)


def test_factors_that_are_put_back_are_where_learning_goes_on() -> None:
    factors = PartFactors(["prompt", "queue"])
    factors.restore({"prompt": 2.5, "queue": 0.5, "of another version": 9.0}, 100)
    assert factors.values == pytest.approx((2.5, 0.5), rel=0.15)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e6)),
        max_size=60,
    )
)
def test_factors_stay_within_bounds_whatever_is_observed(observations: list[tuple[float, float]]) -> None:
    factors = PartFactors(["a", "b"])
    for share, ratio in observations:
        factors.learn({"a": share, "b": 1.0 - share}, ratio)
        assert all(MIN_FACTOR <= value <= MAX_FACTOR for value in factors.values)
