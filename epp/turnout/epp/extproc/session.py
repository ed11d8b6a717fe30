"""The conversation with the proxy about one HTTP request, without I/O.

Theory of operation. Each message goes into `Session.receive`, which returns what to do: replies to send, in order,
and at most one `RouteRequest`. Its outcome goes into `Session.decided`, which returns replies again; messages may
arrive in between. The two sides of the exchange are independent: a response may begin while the request is still
arriving (the endpoint was quick), and even without a decision or a request (another filter, or the proxy itself,
answered the client). Such a response passes unchanged and ends the search for an endpoint. And at any time between
the decision and the end of the response the request may be evicted: an immediate reply, which is the last word.

`SideOrder` says which message may come, `RequestFlow` and `ResponseFlow` what is answered. The session joins them
and knows when nothing more is to be said.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from turnout.epp.extproc.order import SideOrder
from turnout.epp.extproc.request_flows import request_flow
from turnout.epp.extproc.response_flow import ResponseFlow
from turnout.epp.extproc.values import (
    Abandon,
    Action,
    BodyMode,
    BodyReceived,
    Event,
    HeadersReceived,
    ImmediateReply,
    ProtocolConfig,
    Received,
    Reply,
    RouteRequest,
    Side,
    TrailersReceived,
)
from turnout.epp.requests.exchange import Exchange, RequestHead, RouteOutcome
from turnout.framework import Headers, ProtocolError, Refusal, Termination

ASSUMED: Final = ProtocolConfig(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)
"""The modes of a proxy that does not announce any: those that the field's Endpoint Pickers are deployed with."""


class ResponseView(Enum):
    """What somebody wants to see of responses."""

    NOTHING = auto()
    FIRST_PIECE = auto()
    """Of the body, and the head before it."""
    ALL = auto()


class StreamEnd(Enum):
    """How the stream ended."""

    CLOSED = auto()
    """By either side, in order or not."""
    FAILED = auto()
    """By an error of ours, or an illegal message."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How sessions behave; shared by all streams.

    ``assumed`` stands in when the proxy does not announce its modes. ``view`` is what somebody wants to see of
    responses; when the end of a request is reported elsewhere, a session is done once that has been seen, unless the
    request is evictable. Envoy then passes on the rest by itself.
    """

    max_request_body_bytes: int = 32 * 1024 * 1024
    assumed: ProtocolConfig = ASSUMED
    view: ResponseView = ResponseView.ALL


class _Search(Enum):
    NOT_ASKED = auto()
    ASKED = auto()
    OVER = auto()


class Session:
    """One stream. Not reusable, not thread safe.

    ``protocol`` and ``observe_only`` are those of the stream's first message, which goes into ``receive`` as well.
    ``lease`` is as in ``RequestHead``.

    Raises:
        ProtocolError: a body mode cannot be served.
    """

    def __init__(
        self,
        refuse_early: Callable[[RequestHead], Refusal | None],
        options: SessionOptions,
        protocol: ProtocolConfig | None,
        *,
        observe_only: bool = False,
        lease: str = "",
    ) -> None:
        modes = protocol or options.assumed
        if modes.response_body is BodyMode.GRPC:
            raise ProtocolError("response body mode GRPC is not supported")
        self._refuse_early = refuse_early
        self._modes = modes
        self._observe_only = observe_only
        self._lease = lease
        self._view = options.view if lease else ResponseView.ALL
        self._request_order = SideOrder(Side.REQUEST, modes.request_body)
        self._response_order = SideOrder(Side.RESPONSE, modes.response_body)
        self._flow = request_flow(modes.request_body, options.max_request_body_bytes)
        self._head = RequestHead(Headers())
        self._search = _Search.NOT_ASKED
        self._refused = False
        self._exchange: Exchange | None = None
        self._response: ResponseFlow | None = None

    @property
    def done(self) -> bool:
        """Nothing more will be said; the stream may be closed."""
        return self._refused or (self._exchange is not None and not self._exchange.evictable and self.said_all)

    @property
    def said_all(self) -> bool:
        """Nothing has to be said any more; the stream serves at most for an eviction, and may be closed without it."""
        if self._exchange is None or self._view is ResponseView.ALL:
            return False
        if self._view is ResponseView.FIRST_PIECE and not self._first_piece_was_shown(self._exchange):
            return False
        return self._request_order.ended or self._modes.request_body is not BodyMode.STREAMED

    @property
    def awaits_decision(self) -> bool:
        """A `RouteRequest` has been returned, and its outcome is still wanted."""
        return self._search is _Search.ASKED

    @property
    def request_id(self) -> str:
        """The request id that the proxy sent, or an empty string."""
        return self._head.headers.get("x-request-id") or ""

    def receive(self, received: Received) -> list[Action]:
        """Takes the next message and returns what to do about it.

        Raises:
            ProtocolError: the message must not come here.
            ValueError: the exchange broke its contract.
        """
        if self._refused or self._observe_only:
            return []
        event = received.event
        if event.side is Side.RESPONSE:
            self._response_order.check(event)
            return self._on_response(event)
        self._request_order.check(event)
        if self._response_order.begun and self._exchange is None:
            # The client has its answer; whatever the proxy waits for is moot.
            return []
        return self._note(self._on_request(event, received.subset))

    def decided(self, outcome: RouteOutcome) -> list[Reply]:
        """Takes the outcome of the `RouteRequest` and returns what to send.

        Raises:
            ProtocolError: no decision is being waited for.
            ValueError: the decision does not fit the request.
        """
        if self._search is not _Search.ASKED:
            raise ProtocolError("a decision came that nobody waits for")
        self._search = _Search.OVER
        if isinstance(outcome, Refusal):
            self._refused = True
            return [ImmediateReply(outcome)]
        self._exchange = outcome
        return self._flow.decided(self._head, outcome.routed)

    def evicted(self, refusal: Refusal) -> list[Reply]:
        """Takes the request back and returns what to send; nothing once the response has ended.

        What was returned before and is not sent yet may still be sent ahead of it.
        """
        exchange = self._exchange
        if exchange is None or self._refused or (self._response is not None and self._response.over):
            return []
        self._refused = True
        exchange.finish(Termination.EVICTED)
        return [ImmediateReply(refusal)]

    def closed(self, end: StreamEnd) -> None:
        """Tells the exchange, if there is one, that the stream is over.

        Envoy ends the stream of a finished request in order or by a reset, as it happens, and that of an aborted
        request too. So where it does not show the end of a response, one that began counts as finished.
        """
        exchange = self._exchange
        if exchange is None:
            return
        if end is StreamEnd.FAILED:
            exchange.finish(Termination.ERROR)
        elif self._end_was_not_shown():
            exchange.finish(Termination.NATURAL)
        exchange.stream_closed()

    def _on_request(self, event: Event, subset: tuple[str, ...] | None) -> list[Action]:
        match event:
            case HeadersReceived():
                return self._on_request_headers(event, subset)
            case BodyReceived():
                return self._flow.body(self._with_subset(subset), event.data, end=event.end)
            case TrailersReceived():
                return self._flow.trailers(self._with_subset(subset))

    def _on_request_headers(self, event: HeadersReceived, subset: tuple[str, ...] | None) -> list[Action]:
        self._head = RequestHead(event.headers, subset, not event.end, self._lease)
        refusal = self._refuse_early(self._head)
        return [ImmediateReply(refusal)] if refusal is not None else self._flow.headers(self._head)

    def _with_subset(self, subset: tuple[str, ...] | None) -> RequestHead:
        if self._head.subset is None and subset is not None:
            self._head = replace(self._head, subset=subset)
        return self._head

    def _note(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, RouteRequest):
                self._search = _Search.ASKED
            elif isinstance(action, ImmediateReply):
                self._search = _Search.OVER
                self._refused = True
        return actions

    def _on_response(self, event: Event) -> list[Action]:
        actions: list[Action] = []
        if self._search is _Search.ASKED:
            self._search = _Search.OVER
            actions.append(Abandon())
        if self._response is None:
            self._response = ResponseFlow(self._modes.response_body, self._exchange)
        match event:
            case HeadersReceived():
                actions.extend(self._response.headers(event.headers, end=event.end))
            case BodyReceived():
                actions.extend(self._response.body(event.data, end=event.end))
            case TrailersReceived():
                actions.extend(self._response.trailers())
        return actions

    def _first_piece_was_shown(self, exchange: Exchange) -> bool:
        """A body whose pieces are replaced has to be seen to its end; so has one that the proxy does not stream."""
        streamed = self._modes.response_body is BodyMode.STREAMED and not exchange.rewrites_response
        return streamed and self._response is not None and self._response.begun

    def _end_was_not_shown(self) -> bool:
        response = self._response
        if response is None or response.over or self._lease or self._refused:
            return False
        return not response.shows_end
