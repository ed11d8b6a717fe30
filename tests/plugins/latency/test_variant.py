import math

import pytest

from turnout.plugins.latency.variant import LearntTime, Variant


def learnt(*observed: float, level: float = 0.0) -> tuple[LearntTime, float]:
    """Of one endpoint whose prior is always one second for the prompt."""
    time = LearntTime(["prompt", "queue"])
    for seconds in observed:
        predicted = time.factors.values[0] * math.exp(level)
        level = time.learn([1.0, 0.0], seconds, predicted, level)
    return time, level


def test_a_prediction_follows_a_slowdown_within_50_observations() -> None:
    time, level = learnt(*[1.0] * 100, *[3.0] * 50)
    assert time.factors.values[0] * math.exp(level) == pytest.approx(3.0, rel=0.1)


def test_one_outlier_changes_little() -> None:
    time, level = learnt(*[1.0] * 100, 100.0)
    assert time.factors.values[0] * math.exp(level) == pytest.approx(1.0, rel=0.1)
    assert time.accuracy.observations == 101


def test_where_one_request_in_four_is_much_slower_the_others_are_predicted() -> None:
    time, level, predicted = LearntTime(["prompt", "queue"]), 0.0, []
    for number in range(400):
        predicted.append(time.factors.values[0] * math.exp(level))
        level = time.learn([1.0, 0.0], 8.0 if number % 4 == 0 else 1.0, predicted[-1], level)
    assert max(predicted[200:]) < 1.5
    assert min(predicted[200:]) > 0.8


def test_an_endpoint_that_is_slower_than_its_variant_has_a_factor_of_its_own() -> None:
    time, levels = LearntTime(["prompt", "queue"]), [0.0, 0.0]
    for number in range(400):
        place = number % 2
        observed = (1.0, 2.0)[place]
        predicted = time.factors.values[0] * math.exp(levels[place])
        levels[place] = time.learn([1.0, 0.0], observed, predicted, levels[place])
    found = [time.factors.values[0] * math.exp(level) for level in levels]
    assert found == pytest.approx([1.0, 2.0], rel=0.15)


@pytest.mark.parametrize(
    ("priors", "observed", "predicted"),
    [
        pytest.param([0.0, 0.0], 1.0, 1.0, id="no prior"),
        pytest.param([1.0, 0.0], 0.0, 1.0, id="no time"),
        pytest.param([1.0, 0.0], 1.0, -1.0, id="a negative prediction"),
    ],
)
def test_what_makes_no_sense_is_not_learnt(priors: list[float], observed: float, predicted: float) -> None:
    time = LearntTime(["prompt", "queue"])
    assert time.learn(priors, observed, predicted, 0.5) == 0.5
    assert time.accuracy.observations == 0


def test_the_duration_of_whole_requests_moves_the_endpoint_only() -> None:
    time, level = LearntTime(["prompt", "queue"]), 0.0
    for _ in range(100):
        level = time.scale(2.0 / math.exp(level), level)
    assert math.exp(level) == pytest.approx(2.0, rel=0.1)
    assert time.factors.values == (1.0, 1.0)


def test_a_variant_gives_its_factors_and_takes_them_back() -> None:
    variant, other = Variant("h100"), Variant("h100")
    for _ in range(100):
        variant.ttft.learn([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 2.0, 1.0, 0.0)
    other.restore(variant.factors(), 100)
    assert other.factors()["ttft"]["prompt"] == pytest.approx(2.0, rel=0.15)
    assert variant.spreads[0] > 0.0
    assert variant.confidence < 1.0
