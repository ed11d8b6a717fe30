import math
from dataclasses import replace

import pytest
from hypothesis import given

from plugins.latency.predictions import predictions, targets
from turnout.framework import CycleState
from turnout.framework.testing import make_request
from turnout.plugins.latency.keys import (
    LATENCY_PREDICTIONS,
    SLO_TARGETS,
    LatencyPrediction,
    SloTargets,
    probability_to_meet,
    targets_left,
)

BOTH = SloTargets(1.0, 0.1)
ONE_SPREAD = math.exp(-0.5)


def test_an_unnamed_producer_is_the_predicting_one() -> None:
    assert LATENCY_PREDICTIONS.of("") is LATENCY_PREDICTIONS.of("predicted-latency-producer")
    assert LATENCY_PREDICTIONS.of("").producer == "predicted-latency-producer"
    assert LATENCY_PREDICTIONS.of("mine") is not LATENCY_PREDICTIONS.of("")


def test_predictions_are_found_by_endpoint_name() -> None:
    state = CycleState()
    state.write(LATENCY_PREDICTIONS.of(""), {"default/a": LatencyPrediction(0.25, 0.01)})
    assert state.read(LATENCY_PREDICTIONS.of(""))["default/a"].ttft_seconds == 0.25


@pytest.mark.parametrize(
    ("prediction", "wanted", "expected"),
    [
        pytest.param(LatencyPrediction(9.0, 9.0, 0.5, 0.5), SloTargets(), 1.0, id="no targets"),
        pytest.param(LatencyPrediction(1.0, 0.1), BOTH, 1.0, id="no spread, exactly the targets"),
        pytest.param(LatencyPrediction(1.01, 0.1), BOTH, 0.0, id="no spread, above one of them"),
        pytest.param(LatencyPrediction(1.0, 0.01, 0.5), BOTH, 0.5, id="the median is the target"),
        pytest.param(LatencyPrediction(ONE_SPREAD, 0.01, 0.5), BOTH, 0.8413, id="one spread below"),
        pytest.param(LatencyPrediction(1.0, 0.1, 0.5, 0.5), BOTH, 0.25, id="both are as likely as not"),
        pytest.param(LatencyPrediction(0.0, 0.0, 0.5, 0.5), BOTH, 1.0, id="nothing to wait for"),
        pytest.param(LatencyPrediction(0.0, 0.01, 0.5), SloTargets(-0.1), 0.0, id="too late already"),
        pytest.param(LatencyPrediction(0.0, 0.01, 0.5), SloTargets(0.0), 0.0, id="nothing is left"),
        pytest.param(LatencyPrediction(0.5, 0.05, 0.5, 0.5), SloTargets(1e308, 1e308), 1.0, id="beyond all measure"),
        pytest.param(LatencyPrediction(1e300, 0.05, 0.5), SloTargets(1e-300), 0.0, id="a quotient too small to write"),
        pytest.param(LatencyPrediction(math.inf, 0.1, 0.5), BOTH, 0.0, id="never"),
        pytest.param(LatencyPrediction(math.nan, 0.1, 0.5), BOTH, 0.0, id="no number"),
    ],
)
def test_the_probability_is_that_of_two_log_normal_times(
    prediction: LatencyPrediction, wanted: SloTargets, expected: float
) -> None:
    assert probability_to_meet(prediction, wanted) == pytest.approx(expected, abs=1e-4)


@given(predictions, targets)
def test_a_probability_is_one_whatever_was_predicted(prediction: LatencyPrediction, wanted: SloTargets) -> None:
    assert 0.0 <= probability_to_meet(prediction, wanted) <= 1.0


def test_what_is_left_of_targets_is_their_producers_word() -> None:
    request, state, key = replace(make_request(), ttft_target=2.0), CycleState(), SLO_TARGETS.of("")
    assert targets_left(request, state, key) == SloTargets(2.0, None)
    state.write(key, SloTargets(None, 0.05))
    assert targets_left(request, state, key) == SloTargets(None, 0.05)
