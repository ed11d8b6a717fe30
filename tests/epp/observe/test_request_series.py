from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from turnout.epp.observe.families import Families
from turnout.epp.observe.request_series import RequestSeries
from turnout.framework import Completion, InferenceRequest, Termination, Usage
from turnout.framework.testing import make_endpoint, make_request

VALUES = ("m", "m", "f", "0")
LABELS = dict(zip(("model_name", "target_model_name", "fairness_id", "priority"), VALUES, strict=True))
STREAMED = replace(make_request(), stream=True, size_bytes=700)
ENDED = Completion(make_endpoint(), Termination.NATURAL, 200, None, Usage(100, 11, 60), 0.5, 2.5, 900)


def observed(request: InferenceRequest = STREAMED, completion: Completion = ENDED) -> dict[str, float]:
    """The sum of every family that has observations after one request, by stem; counters and gauges by value."""
    registry = CollectorRegistry()
    series = RequestSeries(Families("", registry), VALUES)
    series.dispatched(request)
    series.finished(request, completion)
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name.endswith(("_total", "_sum", "request_running")) and LABELS.items() <= sample.labels.items():
                extra = "".join(value for name, value in sample.labels.items() if name not in LABELS)
                found[f"{sample.name}{extra and ' ' + extra}".replace("_sum", "")] = sample.value
    return found


def test_a_streamed_request_is_measured_in_every_family() -> None:
    assert observed() == {
        "request_total": 1,
        "request_running": 0,
        "request_size_bytes": 700,
        "response_size_bytes": 900,
        "request_duration_seconds": 2.5,
        "request_input_tokens": 100,
        "request_output_tokens": 11,
        "request_cached_tokens": 60,
        "request_ntpot_seconds": pytest.approx(2.5 / 11),
        "request_ttft_seconds true": 0.5,
        "request_streaming_tpot_seconds": 0.2,
    }


def test_a_request_that_is_not_streamed_has_no_time_per_streamed_token() -> None:
    found = observed(replace(STREAMED, stream=False))
    assert found["request_ttft_seconds false"] == 0.5
    assert "request_streaming_tpot_seconds" not in found


def test_a_request_runs_from_its_dispatch_to_its_end() -> None:
    families = Families("", CollectorRegistry())
    series = RequestSeries(families, VALUES)
    series.dispatched(STREAMED)
    series.dispatched(STREAMED)
    series.finished(STREAMED, ENDED)
    assert families.gauges["request_running"].child(*VALUES).value == 1


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        pytest.param(replace(ENDED, status=500), "ModelServerError", id="the engine answers 500"),
        pytest.param(replace(ENDED, status=404), "ModelServerError", id="the engine answers 404"),
        pytest.param(replace(ENDED, cause=Termination.ERROR, status=None), "ModelServerError", id="upstream reset"),
        pytest.param(replace(ENDED, cause=Termination.CLIENT_DISCONNECT), "ClientDisconnect", id="the client leaves"),
        pytest.param(replace(ENDED, cause=Termination.EVICTED), "Evicted", id="evicted while running"),
        pytest.param(replace(ENDED, cause=Termination.LOST, status=None), "ModelServerError", id="no end reported"),
    ],
)
def test_a_bad_end_is_counted_under_its_code_and_not_as_a_time_to_first_token(
    completion: Completion, code: str
) -> None:
    found = observed(completion=completion)
    assert found[f"request_error_total {code}"] == 1
    assert "request_ttft_seconds true" not in found


@pytest.mark.parametrize(
    ("completion", "absent"),
    [
        pytest.param(replace(ENDED, usage=None), "request_output_tokens", id="no usage: no tokens"),
        pytest.param(replace(ENDED, usage=Usage(5, 0)), "request_ntpot_seconds", id="no output: no time per token"),
        pytest.param(replace(ENDED, usage=Usage(5, 1)), "request_streaming_tpot_seconds", id="one token: no pace"),
        pytest.param(replace(ENDED, usage=Usage(5, 9)), "request_cached_tokens", id="cache use not reported"),
        pytest.param(replace(ENDED, duration_seconds=None), "request_duration_seconds", id="duration not observed"),
        pytest.param(
            replace(ENDED, cause=Termination.CLIENT_DISCONNECT),
            "request_duration_seconds",
            id="broken off: no duration",
        ),
        pytest.param(replace(ENDED, first_byte_seconds=None), "request_ttft_seconds true", id="first byte not seen"),
    ],
)
def test_what_was_not_observed_is_not_counted_as_zero(completion: Completion, absent: str) -> None:
    assert absent not in observed(completion=completion)
