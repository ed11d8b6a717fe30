import math
import random

import pytest

from turnout.plugins.latency.accuracy import Accuracy


def after(*observed: float) -> Accuracy:
    accuracy = Accuracy()
    for seconds in observed:
        accuracy.observe(1.0, seconds)
    return accuracy


def test_nothing_is_wrong_before_anything_was_observed() -> None:
    accuracy = Accuracy()
    assert (accuracy.mape, accuracy.bias, accuracy.confidence, accuracy.spread) == (0.0, 0.0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("observed", "mape", "bias", "confidence"),
    [
        pytest.param([1.0] * 100, 0.0, 0.0, 1.0, id="always right"),
        pytest.param([1.25] * 100, 0.2, 0.25, 1.0, id="a fifth too short"),
        pytest.param([0.625] * 100, 0.6, -0.375, 0.533, id="much too long"),
        pytest.param([0.4] * 100, 1.5, -0.6, 0.0, id="useless"),
    ],
)
def test_error_and_bias_are_relative(observed: list[float], mape: float, bias: float, confidence: float) -> None:
    accuracy = after(*observed)
    assert accuracy.mape == pytest.approx(mape)
    assert accuracy.bias == pytest.approx(bias)
    assert accuracy.confidence == pytest.approx(confidence, abs=0.001)
    assert accuracy.observations == 100


def test_the_spread_is_that_of_the_logarithm_and_nine_of_ten_are_below_its_90th_percentile() -> None:
    rng = random.Random(1)
    accuracy, spreads, below = Accuracy(), [], []
    for _ in range(2000):
        accuracy.observe(1.0, math.exp(rng.gauss(0.0, 0.3)))
        spreads.append(accuracy.spread)
        below.append((accuracy.below_median, accuracy.below_90th))
    assert sum(spreads[500:]) / 1500 == pytest.approx(0.3, rel=0.1)
    assert sum(each for each, _ in below) / 2000 == pytest.approx(0.5, abs=0.05)
    assert sum(each for _, each in below) / 2000 == pytest.approx(0.9, abs=0.03)
