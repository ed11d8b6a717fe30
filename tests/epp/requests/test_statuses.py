import msgspec
import pytest

from turnout.epp.requests.statuses import HTTP_STATUS, error_body, http_status, response_headers
from turnout.framework import Refusal, RefusalKind


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [
        pytest.param(RefusalKind.BAD_REQUEST, 400, "invalid_request_error", id="bad request"),
        pytest.param(RefusalKind.TOO_LARGE, 413, "invalid_request_error", id="too large"),
        pytest.param(RefusalKind.RESOURCE_EXHAUSTED, 429, "rate_limit_error", id="saturated"),
        pytest.param(RefusalKind.INTERNAL, 500, "server_error", id="internal"),
        pytest.param(RefusalKind.UNAVAILABLE, 503, "server_error", id="unavailable"),
    ],
)
def test_a_refusal_becomes_an_openai_error(kind: RefusalKind, status: int, error_type: str) -> None:
    refusal = Refusal(kind, "why", "rejected-saturated")
    assert http_status(refusal) == status
    error = msgspec.json.decode(error_body(refusal))["error"]
    assert error == {
        "message": f"inference error: {kind} - why",
        "type": error_type,
        "param": None,
        "code": "rejected-saturated",
    }


def test_every_kind_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(RefusalKind)


def test_headers_carry_reason_and_retry_time_when_there_are_any() -> None:
    assert response_headers(Refusal(RefusalKind.BAD_REQUEST, "x")) == {"content-type": "application/json"}
    assert response_headers(Refusal(RefusalKind.RESOURCE_EXHAUSTED, "x", "rejected-saturated", 0.2)) == {
        "content-type": "application/json",
        "x-llm-d-request-dropped-reason": "rejected-saturated",
        "retry-after": "1",
    }


def test_text_that_cannot_be_encoded_does_not_cost_the_client_its_answer() -> None:
    error = msgspec.json.decode(error_body(Refusal(RefusalKind.BAD_REQUEST, "no parser for: /\udcff")))["error"]
    assert error["message"] == "inference error: BadRequest - no parser for: /?"
