from dataclasses import FrozenInstanceError

import pytest

from turnout.framework import (
    DEFAULT_FAIRNESS_ID,
    PROMPT,
    TTFT_TARGET_HEADERS,
    Headers,
    InferenceRequest,
    Prompt,
    target_seconds,
)

HEADERS = Headers([("Accept", "a"), ("X-Two", "first"), ("accept", "b"), ("x-two", "second")])


def test_names_are_lower_case_and_values_keep_their_order() -> None:
    assert list(HEADERS) == [("accept", "a"), ("x-two", "first"), ("accept", "b"), ("x-two", "second")]
    assert HEADERS.all("accept") == ("a", "b")
    assert HEADERS.all("missing") == ()
    assert len(HEADERS) == 4


@pytest.mark.parametrize(
    ("names", "value"),
    [
        pytest.param(["accept"], "a", id="the first of several values"),
        pytest.param(["missing", "x-two"], "first", id="the alias when the name is absent"),
        pytest.param(["x-two", "accept"], "first", id="the name before the alias"),
        pytest.param(["missing"], None, id="absent"),
        pytest.param([], None, id="nothing asked"),
    ],
)
def test_the_first_present_name_gives_the_value(names: list[str], value: str | None) -> None:
    assert HEADERS.get(*names) == value


def test_an_empty_value_is_present() -> None:
    headers = Headers([("x", ""), ("y", "1")])
    assert headers.get("x", "y") == ""
    assert "x" in headers
    assert "z" not in headers


def test_values_of_headers_are_not_printed() -> None:
    assert repr(Headers([("Authorization", "secret"), ("accept", "x")])) == "Headers(['accept', 'authorization'])"


def test_a_request_has_the_defaults_of_the_protocol_and_cannot_be_changed() -> None:
    request = InferenceRequest("r1")
    assert (request.fairness_id, request.priority, request.path) == (DEFAULT_FAIRNESS_ID, 0, "/")
    assert DEFAULT_FAIRNESS_ID == "default-flow"
    with pytest.raises(FrozenInstanceError):
        request.priority = 1  # type: ignore[misc]


def test_the_prompt_has_no_producer_that_could_be_added() -> None:
    assert (PROMPT.name, PROMPT.producer) == ("prompt", "")
    assert Prompt() == Prompt(data=b"", tokens=0, salt="")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param([("x-llm-d-slo-ttft-ms", "250")], 0.25, id="milliseconds"),
        pytest.param([("x-slo-ttft-ms", "1e3")], 1.0, id="the alias"),
        pytest.param([("x-slo-ttft-ms", "1"), ("x-llm-d-slo-ttft-ms", "2")], 0.002, id="the preferred name wins"),
        pytest.param([], None, id="absent"),
        pytest.param([("x-slo-ttft-ms", "")], None, id="empty"),
        pytest.param([("x-slo-ttft-ms", "abc")], None, id="no number"),
        pytest.param([("x-slo-ttft-ms", "nan")], None, id="not a number"),
        pytest.param([("x-slo-ttft-ms", "inf")], None, id="infinite"),
        pytest.param([("x-slo-ttft-ms", "1e999")], None, id="too large for a float"),
        pytest.param([("x-slo-ttft-ms", "0")], None, id="zero"),
        pytest.param([("x-slo-ttft-ms", "-5")], None, id="negative"),
    ],
)
def test_a_target_is_a_positive_number_of_milliseconds(headers: list[tuple[str, str]], seconds: float | None) -> None:
    assert target_seconds(Headers(headers), TTFT_TARGET_HEADERS) == seconds


@pytest.mark.parametrize(
    ("allowed", "tokens"),
    [
        pytest.param(None, 256, id="nothing is said"),
        pytest.param(10, 10, id="less is allowed"),
        pytest.param(100_000, 256, id="more is allowed"),
        pytest.param(-1, 0, id="less than nothing is allowed"),
    ],
)
def test_an_answer_is_as_long_as_expected_or_allowed(allowed: int | None, tokens: int) -> None:
    assert InferenceRequest("r1", max_output_tokens=allowed).output_tokens(256) == tokens
