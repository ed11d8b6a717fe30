from turnout.framework import CycleState
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction


def test_an_unnamed_producer_is_the_predicting_one() -> None:
    assert LATENCY_PREDICTIONS.of("") is LATENCY_PREDICTIONS.of("predicted-latency-producer")
    assert LATENCY_PREDICTIONS.of("").producer == "predicted-latency-producer"
    assert LATENCY_PREDICTIONS.of("mine") is not LATENCY_PREDICTIONS.of("")


def test_predictions_are_found_by_endpoint_name() -> None:
    state = CycleState()
    state.write(LATENCY_PREDICTIONS.of(""), {"default/a": LatencyPrediction(0.25, 0.01)})
    assert state.read(LATENCY_PREDICTIONS.of(""))["default/a"].ttft_seconds == 0.25
