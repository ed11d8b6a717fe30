"""What is answered to the messages of a request, in each body mode.

A flow takes messages in a legal order (see `order`), asks once for a decision and answers when it has it:

- full duplex: nothing until the whole request is here; then headers, body and trailers in one go;
- buffered: headers at once, cleaned of control headers; the decision with the one body message;
- headers only (modes NONE and STREAMED): the decision with the headers; the body passes by.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from turnout.epp.extproc.mutations import CONTENT_LENGTH, control_headers_removed, decision_applied, without_retries
from turnout.epp.extproc.values import (
    Action,
    BodyMode,
    BodyReply,
    ChunkReply,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Reply,
    RouteRequest,
    Side,
    TrailersReply,
)
from turnout.epp.requests.exchange import RequestBody, RequestHead, Routed
from turnout.epp.requests.statuses import too_large
from turnout.framework import ProtocolError

CHUNK_BYTES: Final = 62_000
"""The longest piece of a body that is sent back in one message."""

_REQUEST: Final = Side.REQUEST


class RequestFlow(Protocol):
    """One request's messages, in one mode."""

    def headers(self, head: RequestHead) -> list[Action]:
        """Takes the head."""
        ...

    def body(self, head: RequestHead, data: bytes, *, end: bool) -> list[Action]:
        """Takes a body message."""
        ...

    def trailers(self, head: RequestHead) -> list[Action]:
        """Takes the end of a request whose body did not say so."""
        ...

    def decided(self, head: RequestHead, routed: Routed) -> list[Reply]:
        """Takes the decision that was asked for."""
        ...


def request_flow(mode: BodyMode, max_body_bytes: int) -> RequestFlow:
    """The flow for a mode.

    Raises:
        ProtocolError: the mode cannot be served.
    """
    match mode:
        case BodyMode.FULL_DUPLEX_STREAMED:
            return FullDuplexFlow(max_body_bytes)
        case BodyMode.BUFFERED | BodyMode.BUFFERED_PARTIAL:
            return BufferedFlow(max_body_bytes, may_be_cut=mode is BodyMode.BUFFERED_PARTIAL)
        case BodyMode.NONE | BodyMode.STREAMED:
            return HeadersOnlyFlow()
        case _:
            raise ProtocolError(f"request body mode {mode.name} is not supported")


def chunks(side: Side, data: bytes, *, end: bool) -> Iterator[ChunkReply]:
    """Pieces of at most 62000 bytes, the last one with the end mark; without mark, no data means no piece."""
    last = (len(data) - 1) // CHUNK_BYTES if data else 0
    if not data and not end:
        return
    for number in range(last + 1):
        piece = data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        yield ChunkReply(side, piece, end and number == last)


class FullDuplexFlow:
    """Holds the whole request back until it is decided. Holds up to ``max_body_bytes`` of body."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        # One buffer and not a list of pieces: a client may send pieces of two bytes, and an object costs thirty.
        self._collected: bytearray | None = None
        self._body: bytes | None = None
        self._trailers = False

    def headers(self, head: RequestHead) -> list[Action]:
        """Waits for the body, if there is one."""
        return [] if head.has_body else [RouteRequest(head, None)]

    def body(self, head: RequestHead, data: bytes, *, end: bool) -> list[Action]:
        """Collects; asks at the end."""
        if self._collected is None:
            self._collected = bytearray()
        if len(self._collected) + len(data) > self._max_body_bytes:
            self._collected = None
            return [ImmediateReply(too_large(self._max_body_bytes))]
        self._collected += data
        return [self._ask(head)] if end else []

    def trailers(self, head: RequestHead) -> list[Action]:
        """Asks: the body has ended with them."""
        self._trailers = True
        return [self._ask(head)]

    def decided(self, head: RequestHead, routed: Routed) -> list[Reply]:
        """Headers, body and trailers."""
        mutation = decision_applied(head.headers, routed)
        if self._trailers:
            mutation = without_retries(mutation)
        replies: list[Reply] = [HeadersReply(_REQUEST, mutation, routed)]
        body, self._body = self._body, None  # the stream lives as long as the response, which may be minutes
        if body is not None:
            changed = body if routed.body is None else routed.body
            replies.extend(chunks(_REQUEST, changed, end=not self._trailers))
        elif routed.body is not None:
            raise _replaced("a request without one")
        if self._trailers:
            replies.append(TrailersReply(_REQUEST))
        return replies

    def _ask(self, head: RequestHead) -> RouteRequest:
        if self._collected is None:
            return RouteRequest(head, None)
        self._body, self._collected = bytes(self._collected), None
        return RouteRequest(head, RequestBody(self._body))


class BufferedFlow:
    """The proxy holds the body; the decision goes out with the answer to the one body message."""

    def __init__(self, max_body_bytes: int, *, may_be_cut: bool) -> None:
        self._max_body_bytes = max_body_bytes
        self._may_be_cut = may_be_cut
        self._asked = ""
        self._complete = False
        self._waiting = False
        self._later: list[Reply] = []

    def headers(self, head: RequestHead) -> list[Action]:
        """Answers at once, unless there is nothing to wait for."""
        if head.has_body:
            return [HeadersReply(_REQUEST, control_headers_removed(head.headers), lease=head.lease)]
        return [self._ask("headers", head, None)]

    def body(self, head: RequestHead, data: bytes, *, end: bool) -> list[Action]:
        """Asks: no more of the body will be shown."""
        if len(data) > self._max_body_bytes:
            return [ImmediateReply(too_large(self._max_body_bytes))]
        # Before trailers a whole body has no end mark either; then a declared length tells it from a cut one.
        self._complete = end or not self._may_be_cut or head.headers.get(CONTENT_LENGTH) == str(len(data))
        return [self._ask("body", head, RequestBody(data, self._complete))]

    def trailers(self, head: RequestHead) -> list[Action]:
        """Answers them; asks if there was no body message before."""
        if not self._asked:
            return [self._ask("trailers", head, None)]
        if self._waiting:
            self._later.append(TrailersReply(_REQUEST))
            return []
        return [TrailersReply(_REQUEST)]

    def decided(self, head: RequestHead, routed: Routed) -> list[Reply]:
        """Answers the message at which the decision was asked for, and what has come since."""
        self._waiting = False
        if routed.body is not None and not self._complete:
            raise _replaced("a body that was not shown whole")
        return [self._decision(decision_applied(head.headers, routed), routed), *self._later]

    def _decision(self, mutation: Mutation, routed: Routed) -> Reply:
        match self._asked:
            case "headers":
                return HeadersReply(_REQUEST, mutation, routed)
            case "body":
                return BodyReply(_REQUEST, mutation, routed.body, routed)
            case _:
                # The headers have gone: only the metadata can still name the destination.
                return TrailersReply(_REQUEST, routed)

    def _ask(self, at: str, head: RequestHead, body: RequestBody | None) -> RouteRequest:
        self._asked, self._waiting = at, True
        return RouteRequest(head, body)


class HeadersOnlyFlow:
    """Decides on the headers; body messages, if the proxy sends them, are answered unchanged."""

    def __init__(self) -> None:
        self._waiting = False
        self._later: list[Reply] = []

    def headers(self, head: RequestHead) -> list[Action]:
        """Asks."""
        self._waiting = True
        return [RouteRequest(head, None)]

    def body(self, head: RequestHead, data: bytes, *, end: bool) -> list[Action]:
        """Lets it pass, after the decision."""
        return self._after_decision(BodyReply(_REQUEST))

    def trailers(self, head: RequestHead) -> list[Action]:
        """Lets them pass, after the decision."""
        return self._after_decision(TrailersReply(_REQUEST))

    def decided(self, head: RequestHead, routed: Routed) -> list[Reply]:
        """Answers the headers, and what has come since."""
        self._waiting = False
        if routed.body is not None:
            raise _replaced("a body that was not shown")
        return [HeadersReply(_REQUEST, decision_applied(head.headers, routed), routed), *self._later]

    def _after_decision(self, reply: Reply) -> list[Action]:
        if not self._waiting:
            return [reply]
        self._later.append(reply)
        return []


def _replaced(what: str) -> ValueError:
    return ValueError(f"the decision replaces {what}")
