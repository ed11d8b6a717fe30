import json
from typing import Any

import pytest

from turnout.plugins.latency.predictor_api import Features, Stated, answered, lesson, median_share, question, sample

ROW = Features(0.25, 800, 3, 5, 0.5, "decode", 1200)
FIELDS = {
    "kv_cache_percentage": 0.25,
    "input_token_length": 800,
    "num_request_waiting": 3,
    "num_request_running": 5,
    "prefix_cache_score": 0.5,
    "pod_type": "decode",
    "prefill_tokens_in_flight": 1200,
    "decode_tokens_in_flight": 0,
    "num_tokens_generated": 1,
}


def answer(*predictions: dict[str, Any]) -> bytes:
    """In the form of a prediction server."""
    rows = [
        {
            "predicted_at": "2026-01-01T00:00:00Z",
            "model_type": "xgboost",
            "objective_type": "quantile",
            "quantile": 0.9,
            "last_model_load": None,
            **prediction,
        }
        for prediction in predictions
    ]
    counts = {"total_requests": len(rows), "successful_predictions": len(rows), "failed_predictions": 0}
    return json.dumps({"predictions": rows, **counts, "processing_time_ms": 1.5}).encode()


def test_a_question_has_a_row_of_features_for_each_endpoint() -> None:
    assert json.loads(question([ROW, ROW])) == {"requests": [FIELDS, FIELDS]}


def test_a_lesson_has_what_was_observed_in_milliseconds_and_0_for_the_rest() -> None:
    told = json.loads(lesson([sample(ROW, ttft_seconds=0.25), sample(ROW, tpot_seconds=0.02)]))
    assert told == {
        "entries": [
            {**FIELDS, "actual_ttft_ms": 250.0, "actual_tpot_ms": 0.0},
            {**FIELDS, "actual_ttft_ms": 0.0, "actual_tpot_ms": 20.0},
        ]
    }


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        pytest.param({"ttft_ms": 250, "tpot_ms": 20.5}, Stated(0.25, 0.0205, 0.9), id="a quantile"),
        pytest.param(
            {"ttft_ms": 0.0, "tpot_ms": 0.0, "quantile": 0.5}, Stated(0.0, 0.0, 0.5), id="nothing to wait for"
        ),
        pytest.param({"ttft_ms": 250, "tpot_ms": 20, "objective_type": "mean"}, Stated(0.25, 0.02, None), id="a mean"),
    ],
)
def test_an_answer_is_read(prediction: dict[str, Any], expected: Stated) -> None:
    assert answered(answer(prediction), 1) == [expected]


def test_a_server_that_does_not_say_what_it_states_is_taken_at_its_word() -> None:
    assert answered(b'{"predictions":[{"ttft_ms":100,"tpot_ms":10}]}', 1) == [Stated(0.1, 0.01, 0.5)]


GOOD = {"ttft_ms": 250.0, "tpot_ms": 20.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(answer({**GOOD, "ttft_ms": float("nan")}), "its answer is none", id="NaN"),
        pytest.param(answer({**GOOD, "ttft_ms": float("inf")}), "its answer is none", id="infinity"),
        pytest.param(answer(GOOD).replace(b"250.0", b"1e999"), "its answer is none|ttft_ms inf", id="too large"),
        pytest.param(answer({**GOOD, "ttft_ms": -0.1}), "it predicted ttft_ms -0.1", id="a negative TTFT"),
        pytest.param(answer({**GOOD, "tpot_ms": -5}), "it predicted tpot_ms -5.0", id="a negative TPOT"),
        pytest.param(answer({**GOOD, "quantile": 1.0}), "it predicted the quantile 1.0", id="a quantile that is none"),
        pytest.param(answer({**GOOD, "ttft_ms": "250"}), "its answer is none", id="a text"),
        pytest.param(answer({**GOOD, "ttft_ms": None}), "its answer is none", id="null"),
        pytest.param(answer({"ttft_ms": 1.0}), "its answer is none", id="no TPOT"),
        pytest.param(answer(), "it predicted 0 times for 1 endpoints", id="too few"),
        pytest.param(answer(GOOD, GOOD), "it predicted 2 times for 1 endpoints", id="too many"),
        pytest.param(b"[" * 100_000, "its answer is none", id="deeply nested"),
        pytest.param(b"\xff\xfe", "its answer is none", id="no text"),
        pytest.param(b"", "its answer is none", id="nothing"),
    ],
)
def test_an_answer_that_is_none_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answered(content, 1)


@pytest.mark.parametrize(
    ("quantile", "spread", "share"),
    [
        pytest.param(0.5, 0.7, 1.0, id="the median itself"),
        pytest.param(0.9, 0.5, 0.527, id="the 90th percentile"),
        pytest.param(0.9, 0.0, 1.0, id="all times are alike"),
        pytest.param(None, 0.5, 0.882, id="the mean"),
    ],
)
def test_the_median_of_log_normal_times(quantile: float | None, spread: float, share: float) -> None:
    assert median_share(quantile, spread) == pytest.approx(share, abs=0.001)
