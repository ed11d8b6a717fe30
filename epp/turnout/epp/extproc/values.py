"""What Envoy tells us and what we answer, as plain values without gRPC or protobuf types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TypeAlias

from turnout.epp.requests.exchange import RequestBody, RequestHead, Routed
from turnout.framework import Headers, Refusal


class BodyMode(Enum):
    """How the proxy sends a body; the names are Envoy's."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4
    GRPC = 5


class Side(StrEnum):
    """Which half of the HTTP exchange a message is about."""

    REQUEST = "request"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """The body modes that the proxy announced for this stream."""

    request_body: BodyMode
    response_body: BodyMode


@dataclass(frozen=True, slots=True)
class HeadersReceived:
    """The head of a request or response; ``end`` says that nothing follows on this side."""

    side: Side
    headers: Headers
    end: bool


@dataclass(frozen=True, slots=True)
class BodyReceived:
    """A piece of a body; ``end`` says that nothing follows on this side, trailers included."""

    side: Side
    data: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class TrailersReceived:
    """The end of a side whose last body piece did not say so."""

    side: Side


Event: TypeAlias = HeadersReceived | BodyReceived | TrailersReceived


@dataclass(frozen=True, slots=True)
class Received:
    """One message of the proxy.

    ``subset`` is the subset hint, None without one. ``protocol`` comes with the first message of a stream, if at
    all. ``observe_only`` says that the proxy copies the traffic to us and takes no answer.
    """

    event: Event
    subset: tuple[str, ...] | None = None
    protocol: ProtocolConfig | None = None
    observe_only: bool = False


@dataclass(frozen=True, slots=True)
class Mutation:
    """Headers to set (each replaces every value of its name) and to remove."""

    set_headers: Mapping[str, str] = field(default_factory=dict)
    remove_headers: tuple[str, ...] = ()


UNCHANGED = Mutation()


@dataclass(frozen=True, slots=True)
class HeadersReply:
    """Answers the headers of a side; with ``routed`` it carries the decision as dynamic metadata too.

    ``lease`` goes ahead of a decision that comes with a later reply: the access log then has it however the request
    ends.
    """

    side: Side
    mutation: Mutation = UNCHANGED
    routed: Routed | None = None
    lease: str = ""


@dataclass(frozen=True, slots=True)
class BodyReply:
    """Answers one body message; ``body`` is its replacement, None to leave it as it is."""

    side: Side
    mutation: Mutation = UNCHANGED
    body: bytes | None = None
    routed: Routed | None = None


@dataclass(frozen=True, slots=True)
class ChunkReply:
    """A piece of the body that goes on to the other end, in full duplex mode."""

    side: Side
    data: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class TrailersReply:
    """Answers trailers; ``routed`` as in ``HeadersReply``."""

    side: Side
    routed: Routed | None = None


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    """Answers the client in place of an endpoint; the last message of its stream."""

    refusal: Refusal


Reply: TypeAlias = HeadersReply | BodyReply | ChunkReply | TrailersReply | ImmediateReply


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """Asks for a decision, which ``Session.decided`` takes; at most one for each stream."""

    head: RequestHead
    body: RequestBody | None


@dataclass(frozen=True, slots=True)
class Abandon:
    """The decision asked for is of no use any more: the client has got an answer from elsewhere."""


Action: TypeAlias = Reply | RouteRequest | Abandon
