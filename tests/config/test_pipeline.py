from dataclasses import replace

from config import flow_fakes
from config.fakes import HEAD, BodyReader, load
from turnout.framework import Named


def test_plugins_are_listed_by_role_in_the_order_of_the_file() -> None:
    pipeline = load("plugins: [{type: late-writer, name: b}, {type: late-writer, name: a}, {type: queue-scorer}]")
    assert [named.name for named in pipeline.pre_request] == ["b", "a"]
    assert [named.name for named in pipeline.response_complete] == ["inflight-load-producer"]
    assert list(pipeline.plugins)[:3] == ["b", "a", "queue-scorer"]
    assert pipeline.origins["b"].type == "late-writer"


def test_classifiers_and_those_who_hear_of_refusals_stand_in_the_order_of_the_file() -> None:
    body = (
        "plugins: [{type: tier-classifier, name: b}, {type: refusal-counter, name: d},\n"
        "  {type: tier-classifier, name: a}, {type: refusal-counter, name: c}]\n"
    )
    pipeline = flow_fakes.load(body, head=HEAD)
    assert [named.name for named in pipeline.classifiers] == ["b", "a"]
    assert [named.name for named in pipeline.request_refused] == ["d", "c"]


def test_response_bodies_are_asked_for_only_by_plugins_that_need_them() -> None:
    optional = load("plugins: [{type: queue-scorer}, {type: inflight-load-producer}]")
    assert [named.name for named in optional.response_body] == ["inflight-load-producer"]
    assert (optional.reads_response_body, optional.reads_response_headers) == (False, False)
    needed = replace(optional, response_body=(*optional.response_body, Named(BodyReader())))
    assert needed.reads_response_body


def test_request_bodies_are_read_when_a_parser_claims_paths() -> None:
    assert load("plugins: [{type: queue-scorer}]").reads_body
    assert not load(
        "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}\nplugins: [{type: queue-scorer}]"
    ).reads_body
