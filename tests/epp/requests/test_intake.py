import pytest

from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.requests.intake import take_in
from turnout.epp.requests.openai import OpenAIParser
from turnout.epp.requests.passthrough import PassthroughParser
from turnout.framework import DEFAULT_FAIRNESS_ID, Headers, Named, Parser

PARSERS: list[Named[Parser]] = [Named(OpenAIParser(), "openai"), Named(PassthroughParser(), "fallback")]
BODY = b'{"model":"m","prompt":"hello","stream":true,"max_tokens":5}'
PATH = (":path", "/v1/completions?trace=1")


def headers(*more: tuple[str, str]) -> RequestHead:
    return RequestHead(Headers([PATH, *more]))


def test_headers_and_body_become_one_request() -> None:
    given = headers(
        ("x-request-id", "r"),
        ("x-gateway-inference-fairness-id", "old"),
        ("x-llm-d-inference-fairness-id", "tenant"),
        ("x-llm-d-inference-objective", "chat"),
    )
    request = take_in(given, RequestBody(BODY), PARSERS, now=5.0).request
    assert (request.request_id, request.model, request.target_model) == ("r", "m", "m")
    assert (request.fairness_id, request.objective, request.path) == ("tenant", "chat", "/v1/completions")
    assert (request.stream, request.max_output_tokens, request.size_bytes, request.received_at) == (True, 5, 59, 5.0)
    assert request.answers == 1


def test_without_headers_or_body_there_are_defaults() -> None:
    taken = take_in(RequestHead(Headers()), None, PARSERS, now=0.0)
    assert taken.request.fairness_id == DEFAULT_FAIRNESS_ID
    assert taken.generated_id
    assert (taken.request.model, taken.parser, taken.parsed.prompt) == ("", None, None)


def test_a_rewrite_changes_the_target_and_the_body() -> None:
    taken = take_in(headers(("x-gateway-model-name-rewrite", "t")), RequestBody(BODY), PARSERS, now=0.0)
    assert (taken.request.model, taken.request.target_model) == ("m", "t")
    assert taken.body == BODY.replace(b'"m"', b'"t"')


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(BODY, "m", id="readable"),
        pytest.param(BODY[:30], "", id="cut within the document"),
    ],
)
def test_a_body_that_the_proxy_cut_is_used_if_it_can_be_read_and_never_rewritten(body: bytes, model: str) -> None:
    given = headers(("x-llm-d-model-name-rewrite", "t"))
    taken = take_in(given, RequestBody(body, complete=False), PARSERS, now=0.0)
    assert (taken.request.model, taken.request.target_model, taken.body) == (model, model, None)


def test_a_path_nobody_reads_passes_any_body() -> None:
    given = RequestHead(Headers([(":path", "/tokenize")]))
    assert take_in(given, RequestBody(b"\x00"), PARSERS, now=0.0).request.model == ""


@pytest.mark.parametrize(
    ("given", "body", "where"),
    [
        pytest.param(headers(), b'{"model":"' + b"m" * 1025 + b'","prompt":"x"}', "in the request body", id="body"),
        pytest.param(
            headers(("x-llm-d-model-name-rewrite", "m" * 1025)), BODY, "the header x-llm-d-model", id="header"
        ),
    ],
)
def test_a_model_name_is_bounded(given: RequestHead, body: bytes, where: str) -> None:
    with pytest.raises(ValueError, match=f"{where}.* has 1025 characters; at most 1024 are allowed"):
        take_in(given, RequestBody(body), PARSERS, now=0.0)


def test_an_empty_request_id_counts_as_none() -> None:
    taken = take_in(headers(("x-request-id", "")), None, PARSERS, now=0.0)
    assert taken.generated_id
    assert len(taken.request.request_id) == 36
