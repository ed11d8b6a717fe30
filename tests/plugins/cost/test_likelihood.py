import math
from dataclasses import replace

import pytest

from turnout.framework.testing import make_request
from turnout.plugins.cost.likelihood import overshoot, probability_to_meet
from turnout.plugins.latency.keys import LatencyPrediction

REQUEST = replace(make_request(), ttft_target=1.0, tpot_target=0.1)
ONE_SPREAD = math.exp(-0.5)


@pytest.mark.parametrize(
    ("prediction", "probability"),
    [
        pytest.param(LatencyPrediction(1.0, 0.1), 1.0, id="no spread, exactly the targets"),
        pytest.param(LatencyPrediction(1.01, 0.1), 0.0, id="no spread, above one of them"),
        pytest.param(LatencyPrediction(1.0, 0.01, 0.5), 0.5, id="the median is the target"),
        pytest.param(LatencyPrediction(ONE_SPREAD, 0.01, 0.5), 0.8413, id="one spread below"),
        pytest.param(LatencyPrediction(1.0, 0.1, 0.5, 0.5), 0.25, id="both are as likely as not"),
        pytest.param(LatencyPrediction(0.0, 0.0, 0.5, 0.5), 1.0, id="nothing to wait for"),
        pytest.param(LatencyPrediction(math.inf, 0.1, 0.5), 0.0, id="never"),
        pytest.param(LatencyPrediction(math.nan, 0.1, 0.5), 0.0, id="no number"),
    ],
)
def test_the_probability_is_that_of_a_lognormal_time(prediction: LatencyPrediction, probability: float) -> None:
    assert probability_to_meet(REQUEST, prediction) == pytest.approx(probability, abs=1e-4)


def test_without_targets_they_are_met() -> None:
    assert probability_to_meet(make_request(), LatencyPrediction(100.0, 1.0, 0.5, 0.5)) == 1.0


@pytest.mark.parametrize(
    ("prediction", "ratio"),
    [
        pytest.param(LatencyPrediction(0.8, 0.01), 1.0, id="the headroom counts"),
        pytest.param(LatencyPrediction(0.0, 0.19), 2.0, id="the worse of both"),
    ],
)
def test_the_overshoot_is_by_the_target_that_is_missed_most(prediction: LatencyPrediction, ratio: float) -> None:
    assert overshoot(REQUEST, prediction, 0.2, 0.01) == pytest.approx(ratio)


def test_without_targets_nothing_is_overshot() -> None:
    assert overshoot(make_request(), LatencyPrediction(9.0, 9.0), 1.0, 1.0) == 0.0
