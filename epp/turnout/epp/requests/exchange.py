"""What the ext_proc session and the director say to each other about one request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from turnout.framework import Headers, Refusal, Termination


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The headers of a request (pseudo-headers included) and what the proxy says about it.

    ``subset`` is the subset hint: None when the proxy gave none, else the allowed ``ip:port`` entries.
    ``has_body`` is False when the headers end the request. ``lease`` is the unguessable name under which the proxy
    will report the end of this request through its access log, so that the end of the stream is not the end of the
    request; empty when it will not.
    """

    headers: Headers
    subset: tuple[str, ...] | None = None
    has_body: bool = True
    lease: str = ""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The body as far as the proxy showed it; ``complete`` is False when the proxy cut it at its buffer limit."""

    data: bytes
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Routed:
    """The decision as it goes to the proxy.

    ``destination`` is ``ip:port`` or a comma-separated list, best first. ``body`` is the replacement of the
    request body, None when it is unchanged. ``scores`` maps ``ip:port`` to the weighted score and is empty
    unless scores are to be emitted. ``lease`` identifies the accounting of this request.
    """

    destination: str
    lease: str
    set_headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


Evictor: TypeAlias = Callable[[Refusal], bool]
"""Gives the client the refusal in place of the endpoint's response and ends the request as EVICTED; False, and no
effect, when the response has ended already."""


class Exchange(Protocol):
    """A request that was dispatched, until its end.

    ``evictor`` is set by the stream for as long as it can speak to the client, if the request is ``evictable``.
    """

    evictor: Evictor | None

    @property
    def evictable(self) -> bool:
        """Whether the request may be taken back, so that its stream has to stay open until the response ends."""
        ...

    @property
    def routed(self) -> Routed:
        """Where it went."""
        ...

    @property
    def rewrites_response(self) -> bool:
        """Whether ``response_body`` may change the length of the body, so that its length must not be announced."""
        ...

    def response_headers(self, headers: Headers) -> Mapping[str, str]:
        """Takes the head of the response; returns the headers to set on it."""
        ...

    def response_body(self, data: bytes, *, last: bool) -> bytes | None:
        """Takes a piece of the response body; returns its replacement, or None to leave it as it is."""
        ...

    def finish(self, cause: Termination) -> None:
        """Ends the request; only the first call has an effect. NATURAL needs no earlier call of the others."""
        ...

    def stream_closed(self) -> None:
        """The proxy's stream is over: ends the request unless its end arrives elsewhere or has come already."""
        ...


RouteOutcome: TypeAlias = Exchange | Refusal


class RequestHandler(Protocol):
    """What the ext_proc server asks of the director."""

    def refuse_early(self, head: RequestHead) -> Refusal | None:
        """A refusal that needs only the headers: draining, empty pool or subset, declared length over the cap."""
        ...

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        """Decides. Cancelled when the client goes away meanwhile."""
        ...
