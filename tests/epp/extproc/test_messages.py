import json
from typing import Any

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf import json_format

from turnout.epp.extproc.messages import decode, encode
from turnout.epp.extproc.values import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Mutation,
    ProtocolConfig,
    Reply,
    Side,
    TrailersReceived,
    TrailersReply,
)
from turnout.epp.requests.exchange import Routed
from turnout.framework import ProtocolError, Refusal, RefusalKind

ROUTED = Routed("10.0.0.1:8000", "lease-1", scores={"10.0.0.1:8000": 1.5})
METADATA = {
    "envoy.lb": {
        "x-gateway-destination-endpoint": "10.0.0.1:8000",
        "x-gateway-destination-endpoint-scores": {"10.0.0.1:8000": 1.5},
    },
    "turnout": {"lease": "lease-1"},
}


def headers_message(*headers: base_pb2.HeaderValue, end: bool = False) -> pb.ProcessingRequest:
    header_map = base_pb2.HeaderMap(headers=headers)
    return pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=header_map, end_of_stream=end))


def with_subset(value: object) -> pb.ProcessingRequest:
    message = headers_message()
    message.metadata_context.filter_metadata["envoy.lb.subset_hint"].update(
        {"x-gateway-destination-endpoint-subset": value}
    )
    return message


def test_headers_keep_order_repetition_and_bytes() -> None:
    message = headers_message(
        base_pb2.HeaderValue(key=":path", raw_value=b"/v1/x"),
        base_pb2.HeaderValue(key="x-old", value="text"),
        base_pb2.HeaderValue(key="x-m", raw_value=b"1"),
        base_pb2.HeaderValue(key="x-m", raw_value=b"\xff2"),
        end=True,
    )
    event = decode(message).event
    assert isinstance(event, HeadersReceived)
    assert list(event.headers) == [(":path", "/v1/x"), ("x-old", "text"), ("x-m", "1"), ("x-m", "\udcff2")]
    assert event.end
    assert event.side is Side.REQUEST


def test_a_header_value_that_is_not_utf8_goes_back_as_it_came() -> None:
    reply = encode(HeadersReply(Side.REQUEST, Mutation({"x-m": "\udcff2"})))
    assert reply.request_headers.response.header_mutation.set_headers[0].header.raw_value == b"\xff2"


def test_bodies_and_trailers_of_both_sides_are_told_apart() -> None:
    body = pb.HttpBody(body=b"abc", end_of_stream=True)
    assert decode(pb.ProcessingRequest(request_body=body)).event == BodyReceived(Side.REQUEST, b"abc", True)
    assert decode(pb.ProcessingRequest(response_body=body)).event == BodyReceived(Side.RESPONSE, b"abc", True)
    trailers = pb.HttpTrailers()
    assert decode(pb.ProcessingRequest(request_trailers=trailers)).event == TrailersReceived(Side.REQUEST)
    assert decode(pb.ProcessingRequest(response_trailers=trailers)).event == TrailersReceived(Side.RESPONSE)


def test_the_first_message_announces_the_modes() -> None:
    message = headers_message()
    message.protocol_config.request_body_mode = processing_mode_pb2.ProcessingMode.BUFFERED
    received = decode(message)
    assert received.protocol == ProtocolConfig(BodyMode.BUFFERED, BodyMode.NONE)
    assert decode(headers_message()).protocol is None
    assert not received.observe_only
    assert decode(pb.ProcessingRequest(request_trailers=pb.HttpTrailers(), observability_mode=True)).observe_only


@pytest.mark.parametrize(
    ("hint", "subset"),
    [
        pytest.param(["10.0.0.1:80", "10.0.0.2:80"], ("10.0.0.1:80", "10.0.0.2:80"), id="a list"),
        pytest.param([], (), id="an empty list allows nothing"),
        pytest.param(["10.0.0.1:80", 7, None], ("10.0.0.1:80",), id="what is not a string is ignored"),
        pytest.param("10.0.0.1:80", None, id="not a list"),
    ],
)
def test_the_subset_hint_is_read(hint: object, subset: tuple[str, ...] | None) -> None:
    assert decode(with_subset(hint)).subset == subset


def test_without_namespace_or_key_there_is_no_subset_hint() -> None:
    message = headers_message()
    assert decode(message).subset is None
    message.metadata_context.filter_metadata["envoy.lb"].update({"x": "y"})
    assert decode(message).subset is None
    message.metadata_context.filter_metadata["envoy.lb.subset_hint"].update({"other": ["10.0.0.1:80"]})
    assert decode(message).subset is None


def test_a_message_without_content_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="without headers, body or trailers"):
        decode(pb.ProcessingRequest())


def test_an_unknown_mode_is_a_protocol_error() -> None:
    message = headers_message()
    message.protocol_config.request_body_mode = 99
    with pytest.raises(ProtocolError, match="body mode 99 is unknown"):
        decode(message)


def plain(reply: Reply) -> dict[str, Any]:
    return json_format.MessageToDict(encode(reply), preserving_proto_field_name=True)


def option(name: str, raw_value: str) -> dict[str, Any]:
    header = {"key": name, "raw_value": raw_value}
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(HeadersReply(Side.RESPONSE), {"response_headers": {}}, id="headers unchanged"),
        pytest.param(
            HeadersReply(Side.REQUEST, Mutation({"a": "b"}, ("c",)), ROUTED),
            {
                "request_headers": {
                    "response": {
                        "header_mutation": {"set_headers": [option("a", "Yg==")], "remove_headers": ["c"]},
                        "clear_route_cache": True,
                    }
                },
                "dynamic_metadata": METADATA,
            },
            id="headers with the decision",
        ),
        pytest.param(BodyReply(Side.REQUEST), {"request_body": {}}, id="body unchanged"),
        pytest.param(
            BodyReply(Side.REQUEST, Mutation({"a": "b"}), b"xyz", ROUTED),
            {
                "request_body": {
                    "response": {
                        "header_mutation": {"set_headers": [option("a", "Yg==")]},
                        "body_mutation": {"body": "eHl6"},
                        "clear_route_cache": True,
                    }
                },
                "dynamic_metadata": METADATA,
            },
            id="body replaced with the decision",
        ),
        pytest.param(
            BodyReply(Side.RESPONSE, body=b""),
            {"response_body": {"response": {"body_mutation": {"clear_body": True}}}},
            id="body emptied",
        ),
        pytest.param(
            ChunkReply(Side.RESPONSE, b"xyz", True),
            {
                "response_body": {
                    "response": {"body_mutation": {"streamed_response": {"body": "eHl6", "end_of_stream": True}}}
                }
            },
            id="a full duplex piece",
        ),
        pytest.param(TrailersReply(Side.REQUEST), {"request_trailers": {}}, id="trailers"),
        pytest.param(
            TrailersReply(Side.REQUEST, ROUTED),
            {"request_trailers": {}, "dynamic_metadata": METADATA},
            id="trailers with the decision",
        ),
        pytest.param(
            HeadersReply(Side.REQUEST, routed=Routed("10.0.0.1:8000", "")),
            {
                "request_headers": {"response": {"clear_route_cache": True}},
                "dynamic_metadata": {"envoy.lb": {"x-gateway-destination-endpoint": "10.0.0.1:8000"}},
            },
            id="no lease and no scores",
        ),
    ],
)
def test_a_reply_becomes_its_message(reply: Reply, expected: dict[str, Any]) -> None:
    assert plain(reply) == expected


def test_a_refusal_is_an_immediate_response_with_a_json_error() -> None:
    refusal = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "too many", "rejected-saturated", retry_after_seconds=2.0)
    response = encode(ImmediateReply(refusal)).immediate_response
    sent = {option.header.key: option.header.raw_value for option in response.headers.set_headers}
    assert response.status.code == 429
    assert sent == {
        "content-type": b"application/json",
        "x-llm-d-request-dropped-reason": b"rejected-saturated",
        "retry-after": b"2",
    }
    assert json.loads(response.body)["error"]["message"] == "inference error: ResourceExhausted - too many"
    assert response.details == "turnout_rejected-saturated"
