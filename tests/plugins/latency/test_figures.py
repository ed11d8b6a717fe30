import pytest

from turnout.framework import CounterReading, HistogramReading
from turnout.framework.testing import make_request
from turnout.plugins.latency.figures import MAX_MODELS, LatencyFigures, variant_readings
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.latency.variant import Variant


def test_predictions_and_missed_targets_are_counted_by_model() -> None:
    figures, request = LatencyFigures(), make_request(model="m")
    figures.predicted(request, LatencyPrediction(0.3, 0.02))
    figures.violated(request, "tpot")
    ttft, tpot, *violations = figures.readings()
    assert isinstance(ttft, HistogramReading)
    assert isinstance(tpot, HistogramReading)
    assert (ttft.name, ttft.labels["model_name"], ttft.histogram.total) == ("request_predicted_ttft_seconds", "m", 0.3)
    assert (tpot.name, tpot.histogram.total) == ("request_predicted_tpot_seconds", 0.02)
    counted = {each.labels["type"]: each.value for each in violations if isinstance(each, CounterReading)}
    assert counted == {"ttft": 0, "tpot": 1}


def test_the_labels_of_a_client_s_many_models_are_bounded() -> None:
    figures = LatencyFigures()
    for number in range(3 * MAX_MODELS):
        figures.predicted(make_request(model=f"m{number}"), LatencyPrediction(0.3, 0.02))
    models = {reading.labels["model_name"] for reading in figures.readings()}
    assert len(models) == MAX_MODELS + 1
    assert "other" in models


def test_every_variant_shows_how_good_its_predictions_are() -> None:
    variant = Variant("h100")
    variant.tpot.learn([1.0, 0.0, 0.0], 2.0, 1.6, 0.0)
    found = {
        (each.name, each.labels["type"], each.labels.get("quantile", each.labels.get("part", ""))): each.value
        for each in variant_readings([variant])
        if not isinstance(each, HistogramReading)
    }
    assert found["latency_prediction_observations_total", "tpot", ""] == 1
    assert found["latency_prediction_error_ratio", "tpot", ""] == pytest.approx(0.2)
    assert found["latency_prediction_calibration_ratio", "tpot", "0.9"] == 1.0
    assert found["latency_prediction_factor", "tpot", "weights"] > 1.0
    assert found["latency_prediction_factor", "ttft", "prompt"] == 1.0
    assert found["latency_prediction_confidence", "ttft", ""] == 1.0
