"""Protobuf messages of `envoy.service.ext_proc.v3` to and from plain values."""

from collections.abc import Iterable, Mapping
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf import struct_pb2

from turnout.epp.extproc.values import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Mutation,
    ProtocolConfig,
    Received,
    Reply,
    Side,
    TrailersReceived,
    TrailersReply,
)
from turnout.epp.requests.exchange import Routed
from turnout.epp.requests.statuses import error_body, http_status, response_headers
from turnout.epp.wire_names import (
    DESTINATION,
    DESTINATION_NAMESPACE,
    LEASE_KEY,
    LEASE_NAMESPACE,
    SCORES_KEY,
    SUBSET_KEY,
    SUBSET_NAMESPACE,
)
from turnout.framework import Headers, ProtocolError

_OVERWRITE: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def decode(message: pb.ProcessingRequest) -> Received:
    """What the proxy said.

    Raises:
        ProtocolError: the message carries nothing that this protocol knows.
    """
    return Received(
        event=_event(message),
        subset=_subset(message.metadata_context) if message.HasField("metadata_context") else None,
        protocol=_protocol(message.protocol_config) if message.HasField("protocol_config") else None,
        observe_only=message.observability_mode,
    )


def encode(reply: Reply) -> pb.ProcessingResponse:
    """The message that tells the proxy so."""
    message = pb.ProcessingResponse()
    match reply:
        case ChunkReply():
            response = _response(message, reply.side, "body")
            streamed = response.body_mutation.streamed_response
            streamed.body, streamed.end_of_stream = reply.data, reply.end
        case BodyReply():
            response = _response(message, reply.side, "body")
            _mutate(response, reply.mutation, routed=reply.routed is not None)
            _replace(response, reply.body)
            _add_metadata(message, reply.routed)
        case HeadersReply():
            response = _response(message, reply.side, "headers")
            _mutate(response, reply.mutation, routed=reply.routed is not None)
            _add_metadata(message, reply.routed)
            _add_lease(message, reply.lease)
        case TrailersReply():
            getattr(message, f"{reply.side}_trailers").SetInParent()
            _add_metadata(message, reply.routed)
        case ImmediateReply():
            _immediate(message.immediate_response, reply)
    return message


def _event(message: pb.ProcessingRequest) -> Event:
    kind = message.WhichOneof("request")
    if kind is None:
        raise ProtocolError("a message without headers, body or trailers")
    side = Side.REQUEST if kind.startswith("request") else Side.RESPONSE
    if kind.endswith("_body"):
        body = getattr(message, kind)
        return BodyReceived(side, body.body, body.end_of_stream)
    if kind.endswith("_headers"):
        head = getattr(message, kind)
        return HeadersReceived(side, Headers(_pairs(head.headers.headers)), head.end_of_stream)
    return TrailersReceived(side)


def _pairs(headers: Iterable[base_pb2.HeaderValue]) -> list[tuple[str, str]]:
    # Header values are bytes; surrogateescape keeps those that are not UTF-8 intact on the way back.
    return [
        (header.key, header.raw_value.decode("utf-8", "surrogateescape") if header.raw_value else header.value)
        for header in headers
    ]


def _subset(metadata: base_pb2.Metadata) -> tuple[str, ...] | None:
    namespaces = metadata.filter_metadata
    if SUBSET_NAMESPACE not in namespaces:
        return None
    fields = namespaces[SUBSET_NAMESPACE].fields
    if SUBSET_KEY not in fields or fields[SUBSET_KEY].WhichOneof("kind") != "list_value":
        return None
    entries = fields[SUBSET_KEY].list_value.values
    return tuple(entry.string_value for entry in entries if entry.WhichOneof("kind") == "string_value")


def _protocol(config: pb.ProtocolConfiguration) -> ProtocolConfig:
    return ProtocolConfig(_mode(config.request_body_mode), _mode(config.response_body_mode))


def _mode(number: int) -> BodyMode:
    try:
        return BodyMode(number)
    except ValueError:
        raise ProtocolError(f"body mode {number} is unknown") from None


def _response(message: pb.ProcessingResponse, side: Side, part: str) -> pb.CommonResponse:
    holder = getattr(message, f"{side}_{part}")
    holder.SetInParent()
    return holder.response


def _mutate(response: pb.CommonResponse, mutation: Mutation, *, routed: bool) -> None:
    if routed:
        # The route is chosen by what the decision says, not by what the client sent.
        response.clear_route_cache = True
    if mutation.set_headers:
        _set_headers(response.header_mutation, mutation.set_headers)
    if mutation.remove_headers:
        response.header_mutation.remove_headers.extend(mutation.remove_headers)


def _set_headers(mutation: pb.HeaderMutation, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        option = mutation.set_headers.add(append_action=_OVERWRITE)
        option.header.key = name
        option.header.raw_value = value.encode("utf-8", "surrogateescape")


def _replace(response: pb.CommonResponse, body: bytes | None) -> None:
    if body:
        response.body_mutation.body = body
    elif body is not None:
        response.body_mutation.clear_body = True


def _add_metadata(message: pb.ProcessingResponse, routed: Routed | None) -> None:
    if routed is None:
        return
    fields = message.dynamic_metadata.fields
    destination = fields[DESTINATION_NAMESPACE].struct_value
    destination.fields[DESTINATION].string_value = routed.destination
    if routed.scores:
        _add_scores(destination.fields[SCORES_KEY].struct_value, routed.scores)
    _add_lease(message, routed.lease)


def _add_lease(message: pb.ProcessingResponse, lease: str) -> None:
    if lease:
        message.dynamic_metadata.fields[LEASE_NAMESPACE].struct_value.fields[LEASE_KEY].string_value = lease


def _add_scores(struct: struct_pb2.Struct, scores: Mapping[str, float]) -> None:
    for endpoint, score in scores.items():
        struct.fields[endpoint].number_value = score


def _immediate(response: pb.ImmediateResponse, reply: ImmediateReply) -> None:
    refusal = reply.refusal
    response.status.code = http_status(refusal)
    _set_headers(response.headers, response_headers(refusal))
    response.body = error_body(refusal)
    response.details = f"turnout_{refusal.dropped_reason or refusal.kind}"
