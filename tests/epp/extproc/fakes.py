"""A request handler that decides what it is told to, and remembers what it was asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.epp.requests.exchange import Evictor, RequestBody, RequestHead, Routed, RouteOutcome
from turnout.framework import Headers, Refusal, Termination

DESTINATION = "x-gateway-destination-endpoint"


ROUTED = Routed("10.0.0.1:8000", "lease-1")


@dataclass
class FakeExchange:
    """Accepts everything; its response methods return what they are told to."""

    routed: Routed = ROUTED
    rewrites_response: bool = False
    evictable: bool = False
    evictor: Evictor | None = None
    wanted_headers: Mapping[str, str] = field(default_factory=dict)
    replace: tuple[bytes, bytes] | None = None
    seen_headers: Headers | None = None
    seen_body: bytes = b""
    last_seen: bool = False
    finished: list[Termination] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def response_headers(self, headers: Headers) -> Mapping[str, str]:
        self.seen_headers = headers
        return self.wanted_headers

    def response_body(self, data: bytes, *, last: bool) -> bytes | None:
        assert not self.last_seen
        self.seen_body += data
        self.last_seen = last
        return data.replace(*self.replace) if self.replace else None

    def finish(self, cause: Termination) -> None:
        self.finished.append(cause)

    def stream_closed(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


@dataclass
class FakeHandler:
    """Answers every request with ``outcome``; waits for ``gate`` first, if there is one."""

    outcome: RouteOutcome | Exception = field(default_factory=FakeExchange)
    early: Refusal | None = None
    gate: asyncio.Event | None = None
    asked: list[tuple[RequestHead, RequestBody | None]] = field(default_factory=list)
    asking: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def exchange(self) -> FakeExchange:
        assert isinstance(self.outcome, FakeExchange)
        return self.outcome

    @property
    def body(self) -> bytes:
        body = self.asked[-1][1]
        assert body is not None
        return body.data

    def refuse_early(self, head: RequestHead) -> Refusal | None:
        return self.early

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        self.asked.append((head, body))
        self.asking.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome
