import pytest

from plugins.latency.predictions import pool, predicted
from turnout.plugins.latency.headroom import Headroom, headroom, headrooms, known_predictions
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets


@pytest.mark.parametrize(
    ("targets", "expected", "meets"),
    [
        pytest.param(SloTargets(0.75, 0.5), (0.25, 0.25), True, id="both are met"),
        pytest.param(SloTargets(0.5, 0.25), (0.0, 0.0), True, id="just"),
        pytest.param(SloTargets(0.25, 0.5), (-0.25, 0.25), False, id="the first token is late"),
        pytest.param(SloTargets(0.75, 0.125), (0.25, -0.125), False, id="tokens are slow"),
        pytest.param(SloTargets(None, 0.125), (0.0, -0.125), False, id="one target only"),
        pytest.param(SloTargets(), (0.0, 0.0), True, id="no target"),
        pytest.param(SloTargets(-1.0, None), (-1.5, 0.0), False, id="it is too late already"),
    ],
)
def test_headroom_is_target_less_prediction(targets: SloTargets, expected: tuple[float, float], meets: bool) -> None:
    room = headroom(LatencyPrediction(0.5, 0.25), targets)
    assert room == expected
    assert room.meets == meets


def test_an_endpoint_without_a_prediction_has_none() -> None:
    endpoints, found = pool((0.5, 0.25), None)
    state = predicted(found, SloTargets(1.0, 1.0))
    keys = (LATENCY_PREDICTIONS.of(""), SLO_TARGETS.of(""))
    assert headrooms(state, endpoints, *keys) == [Headroom(0.5, 0.75), None]


def test_predictions_keep_the_places_of_their_endpoints() -> None:
    endpoints, found = pool(None, (0.5, 0.25), None)
    assert [(place, each.ttft_seconds) for place, each in known_predictions(found, endpoints)] == [(1, 0.5)]
