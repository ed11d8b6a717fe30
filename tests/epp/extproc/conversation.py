"""Drives a session as a stream would, under Envoy's rules."""

from dataclasses import dataclass, field

from epp.extproc.envoy_rules import EnvoyRules
from epp.extproc.fakes import FakeExchange
from turnout.epp.extproc.session import Session, SessionOptions
from turnout.epp.extproc.values import (
    Abandon,
    BodyMode,
    BodyReceived,
    Event,
    HeadersReceived,
    ProtocolConfig,
    Received,
    Reply,
    RouteRequest,
    Side,
    TrailersReceived,
)
from turnout.epp.requests.exchange import RequestHead, RouteOutcome
from turnout.framework import Headers, Refusal


def head(*headers: tuple[str, str], end: bool = False) -> HeadersReceived:
    return HeadersReceived(Side.REQUEST, Headers([(":path", "/v1/x"), *headers]), end)


def body(data: bytes, *, end: bool = False) -> BodyReceived:
    return BodyReceived(Side.REQUEST, data, end)


TRAILERS = TrailersReceived(Side.REQUEST)


def response_head(*headers: tuple[str, str], end: bool = False) -> HeadersReceived:
    return HeadersReceived(Side.RESPONSE, Headers([(":status", "200"), *headers]), end)


def response_body(data: bytes, *, end: bool = False) -> BodyReceived:
    return BodyReceived(Side.RESPONSE, data, end)


RESPONSE_TRAILERS = TrailersReceived(Side.RESPONSE)


@dataclass
class Conversation:
    """One session; ``outcome`` answers its route request, at once unless ``patient``."""

    request_mode: str = "NONE"
    response_mode: str = "NONE"
    outcome: RouteOutcome = field(default_factory=FakeExchange)
    early: Refusal | None = None
    options: SessionOptions = field(default_factory=SessionOptions)
    lease: str = ""
    patient: bool = False
    asked: list[RouteRequest] = field(default_factory=list)
    abandoned: bool = False

    def __post_init__(self) -> None:
        modes = ProtocolConfig(BodyMode[self.request_mode], BodyMode[self.response_mode])
        self.rules = EnvoyRules(modes)
        self.session = Session(self._refuse, self.options, modes, lease=self.lease)

    @property
    def exchange(self) -> FakeExchange:
        assert isinstance(self.outcome, FakeExchange)
        return self.outcome

    @property
    def shown(self) -> bytes | None:
        """The body that the handler was shown."""
        (route,) = self.asked
        return None if route.body is None else route.body.data

    def say(self, *events: Event, subset: tuple[str, ...] | None = None) -> list[Reply]:
        replies: list[Reply] = []
        for event in events:
            self.rules.sent(event)
            for action in self.session.receive(Received(event, subset)):
                if isinstance(action, RouteRequest):
                    self.asked.append(action)
                    replies += [] if self.patient else self.decide()
                elif isinstance(action, Abandon):
                    self.abandoned = True
                else:
                    self.rules.got(action)
                    replies.append(action)
        return replies

    def decide(self) -> list[Reply]:
        replies = self.session.decided(self.outcome)
        for reply in replies:
            self.rules.got(reply)
        return replies

    def evict(self, refusal: Refusal) -> list[Reply]:
        replies = self.session.evicted(refusal)
        for reply in replies:
            self.rules.got(reply)
        return replies

    def _refuse(self, head: RequestHead) -> Refusal | None:
        return self.early
