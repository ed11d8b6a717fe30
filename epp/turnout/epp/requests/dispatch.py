"""A dispatched request until its end: what was accounted at dispatch is released exactly once.

The end arrives in one of four ways: the response passes through the ext_proc stream to its last byte, the
stream closes before, the proxy's access log reports it, or the request is evicted. Whichever comes first ends the
request.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from turnout.config import Pipeline
from turnout.epp.requests.exchange import Evictor, Routed
from turnout.epp.requests.model_names import ModelNameRestorer
from turnout.epp.requests.observer import RequestObserver
from turnout.epp.requests.usage import UsageReader
from turnout.framework import (
    Completion,
    CycleState,
    ExtensionPoint,
    Headers,
    InferenceRequest,
    Named,
    Parser,
    PluginError,
    QueuedRequest,
    Refusal,
    Response,
    ResponseChunk,
    SchedulingResult,
    Termination,
    plugin_boundary,
)

SERVER_ERROR = 500
# 501 is what an engine says of an API that its model does not have: the client's choice, not the endpoint's state.
NOT_IMPLEMENTED = 501


class Accounting(Protocol):
    """What the data layer keeps of a dispatch."""

    def release(self) -> None:
        """The request no longer counts as in flight; further calls have no effect."""
        ...


class EndpointHealth(Protocol):
    """Where the outcome of a request is reported."""

    def request_failed(self, name: str) -> None:
        """The endpoint did not answer, or with a server error."""
        ...

    def request_succeeded(self, name: str) -> None:
        """The endpoint answered."""
        ...


@dataclass(frozen=True, slots=True)
class LoggedEnd:
    """The end of a request as the proxy's access log tells it.

    ``served_by`` is the ``ip:port`` that answered last, ``attempts`` how many endpoints were tried;
    ``failed_upstream`` says that no endpoint gave a response.
    """

    cause: Termination
    status: int | None
    served_by: str | None
    attempts: int
    failed_upstream: bool
    first_byte_seconds: float | None
    response_bytes: int


@dataclass(frozen=True, slots=True)
class DispatchContext:
    """What a dispatch needs of the world around it; shared by all requests of one pipeline."""

    pipeline: Pipeline
    health: EndpointHealth
    observer: RequestObserver
    clock: Callable[[], float]


@dataclass(slots=True, eq=False)
class Dispatch:
    """One request on its way. Implements ``Exchange``.

    ``evictable`` requests can be taken back (see ``evict``), at the price of a stream that stays open until the
    response ends. ``dispatched_at`` is in seconds on the clock of ``context``.
    """

    context: DispatchContext
    request: InferenceRequest
    state: CycleState
    result: SchedulingResult
    routed: Routed
    accounting: Accounting
    parser: Named[Parser] | None = None
    rewrites_response: bool = False
    evictable: bool = False
    evictor: Evictor | None = field(default=None, init=False)
    dispatched_at: float = field(init=False)
    _end_listeners: list[Callable[[], object]] | None = field(default=None, init=False)
    _response: Response | None = None
    _usage: UsageReader | None = None
    _names: ModelNameRestorer | None = None
    _first_byte_at: float | None = None
    _last_piece_at: float = 0.0
    _response_bytes: int = 0
    _ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.dispatched_at = self.context.clock()

    @property
    def queued(self) -> QueuedRequest:
        """The request as queue policies see it; what it waited for is over, so it has no deadline."""
        return QueuedRequest(self.request, self.request.received_at, state=self.state)

    @property
    def response_begun(self) -> bool:
        """The head of the response has been seen on its way to the client, who can be told nothing else any more.

        False as well where the proxy does not show heads.
        """
        return self._response is not None

    def add_end_listener(self, listener: Callable[[], object]) -> None:
        """Has it called once, when the request has ended and all is released; at once if that is so already."""
        if self._ended:
            listener()
        elif self._end_listeners is None:
            self._end_listeners = [listener]
        else:
            self._end_listeners.append(listener)

    def evict(self, refusal: Refusal) -> bool:
        """Takes the request back: the client gets the refusal, or a broken response if that has begun.

        True: the request has ended as EVICTED, its end listeners have been called, and the proxy, which closes the
        connection to the endpoint, is being told. False: nothing has happened, for the request has ended, is not
        evictable, or its stream is not ready for it yet (its decision was made a moment ago) or any more.
        """
        return not self._ended and self.evictor is not None and self.evictor(refusal)

    def response_headers(self, headers: Headers) -> Mapping[str, str]:
        """Takes the head of the response; returns the headers that plugins set on it."""
        now = self.state.now = self.context.clock()
        status = headers.get(":status") or ""
        content_type = headers.get("content-type") or ""
        streaming = "text/event-stream" in content_type
        self._response = Response(int(status) if status.isdigit() else 0, headers, self.result.endpoint, streaming)
        self._first_byte_at = now
        if self.parser is not None:
            self._usage = UsageReader(self.parser.plugin, streaming=streaming)
        if self.rewrites_response:
            self._names = ModelNameRestorer(self.request.target_model, self.request.model)
        return self._ask_plugins_for_headers(self._response)

    def _ask_plugins_for_headers(self, response: Response) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        for named in self.context.pipeline.response_headers:
            with self._reported(named.name, ExtensionPoint.RESPONSE_HEADERS):
                headers.update(named.plugin.response_headers(self.request, self.state, response) or {})
        return headers

    def response_body(self, data: bytes, *, last: bool) -> bytes | None:
        """Takes a piece of the body; the last one ends the request."""
        now = self.state.now = self.context.clock()
        first = self._response_bytes == 0
        self._response_bytes += len(data)
        if data:
            self._note_piece(now, first=first)
        self._read_usage(data, last=last)
        self._show_plugins(data, first=first, last=last)
        replacement = self._names.feed(data, last=last) if self._names else data
        if last:
            self.finish(Termination.NATURAL)
        return None if replacement == data else replacement

    def _note_piece(self, now: float, *, first: bool) -> None:
        if first:
            self._first_byte_at = now  # engines send the head of a stream before its first token
        elif self._response is not None and self._response.streaming:
            self.context.observer.streamed(self.request, now - self._last_piece_at)
        self._last_piece_at = now

    def _read_usage(self, data: bytes, *, last: bool) -> None:
        if self._usage is None or self.parser is None:
            return
        try:
            with plugin_boundary(self.parser.name, ExtensionPoint.PARSER):
                self._usage.feed(data, last=last)
        except PluginError as error:
            self._usage = None
            self.context.observer.plugin_failed(self.request.request_id, error)

    def _show_plugins(self, data: bytes, *, first: bool, last: bool) -> None:
        response = self._response
        if response is None or not self.context.pipeline.response_body:
            return
        chunk = ResponseChunk(data, first, last, self._usage.usage if self._usage else None)
        for named in self.context.pipeline.response_body:
            with self._reported(named.name, ExtensionPoint.RESPONSE_BODY):
                named.plugin.response_body(self.request, self.state, response, chunk)

    def finish(self, cause: Termination) -> None:
        """Ends the request with what has been seen of its response; only the first call has an effect."""
        status = self._response.status if self._response else None
        if status is not None and not self._ended:
            self._report_health(failed=_is_failure(status))
        self._end(cause, status, None, self._first_byte_seconds(), self._response_bytes)

    def stream_closed(self) -> None:
        """The proxy's stream is over; a request that has not ended by then was given up by its client."""
        if not self.routed.lease:
            self.finish(Termination.CLIENT_DISCONNECT)

    def logged(self, end: LoggedEnd) -> None:
        """The proxy's access log has the end of this request."""
        if self._ended:
            return
        # With several attempts, those before the last failed in the order of the list.
        failed_first = min(end.attempts - 1, len(self.result.endpoints))
        for endpoint in self.result.endpoints[: max(0, failed_first)]:
            self.context.health.request_failed(endpoint.name)
        self._judge_last_attempt(end)
        # The proxy's first byte is that of the head, which engines send before the first token.
        first_byte = self._first_byte_seconds() if self._response_bytes else end.first_byte_seconds
        self._end(end.cause, end.status, end.served_by, first_byte, end.response_bytes)

    def _judge_last_attempt(self, end: LoggedEnd) -> None:
        nobody_was_asked = end.attempts == 0 and end.served_by is None
        if nobody_was_asked or end.cause is Termination.CLIENT_DISCONNECT:
            return
        failed = end.failed_upstream or _is_failure(end.status or 0)
        if failed or end.cause is Termination.NATURAL:
            self._report_health_of(end.served_by or self.result.endpoint.host_port, failed=failed)

    def _report_health_of(self, host_port: str, *, failed: bool) -> None:
        by_address = {endpoint.host_port: endpoint.name for endpoint in self.result.endpoints}
        if host_port in by_address:
            self._report_health(failed=failed, name=by_address[host_port])

    def _report_health(self, *, failed: bool, name: str | None = None) -> None:
        report = self.context.health.request_failed if failed else self.context.health.request_succeeded
        report(name or self.result.endpoint.name)

    def _first_byte_seconds(self) -> float | None:
        return None if self._first_byte_at is None else self._first_byte_at - self.request.received_at

    def _end(
        self,
        cause: Termination,
        status: int | None,
        served_by: str | None,
        first_byte_seconds: float | None,
        response_bytes: int,
    ) -> None:
        if self._ended:
            return
        self._ended = True
        now = self.state.now = self.context.clock()
        completion = Completion(
            endpoint=self.result.endpoint,
            cause=cause,
            status=status,
            served_by=served_by,
            usage=self._usage.usage if self._usage else None,
            first_byte_seconds=first_byte_seconds,
            duration_seconds=now - self.request.received_at,
            response_bytes=response_bytes,
        )
        self.accounting.release()
        self._tell_plugins(completion)
        self.context.observer.finished(self.request, completion)
        for listener in self._end_listeners or ():
            listener()

    def _tell_plugins(self, completion: Completion) -> None:
        for named in self.context.pipeline.response_complete:
            with self._reported(named.name, ExtensionPoint.RESPONSE_COMPLETE):
                named.plugin.response_complete(self.request, self.state, completion)

    @contextmanager
    def _reported(self, plugin: str, point: ExtensionPoint) -> Iterator[None]:
        """After the decision a plugin's failure costs its own work only."""
        try:
            with plugin_boundary(plugin, point):
                yield
        except PluginError as error:
            self.context.observer.plugin_failed(self.request.request_id, error)


def _is_failure(status: int) -> bool:
    return status >= SERVER_ERROR and status != NOT_IMPLEMENTED
