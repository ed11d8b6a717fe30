"""What Envoy accepts as answers to what it has sent: a small model of its ext_proc filter."""

from dataclasses import dataclass, field

from turnout.epp.extproc.values import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    ProtocolConfig,
    Reply,
    Side,
    TrailersReceived,
    TrailersReply,
)

ANSWER = {HeadersReceived: HeadersReply, BodyReceived: BodyReply, TrailersReceived: TrailersReply}


@dataclass
class _Side:
    """One side: replies owed in order of the messages; in full duplex, pieces of body at will before the end."""

    full_duplex: bool
    owed: list[type] = field(default_factory=list)
    body_seen: bool = False
    body_over: bool = False
    echoed: bytes = b""

    def sent(self, event: Event) -> None:
        if self.full_duplex and isinstance(event, BodyReceived):
            self.body_seen = True
            if event.end:
                self.owed.append(ChunkReply)
        else:
            self.owed.append(ANSWER[type(event)])

    def got(self, reply: Reply) -> None:
        if isinstance(reply, ChunkReply):
            assert self.full_duplex
            assert self.body_seen
            assert not self.body_over
            assert HeadersReply not in self.owed
            assert len(reply.data) <= 62_000
            self.echoed += reply.data
            if not reply.end:
                return
            self.body_over = True
        assert self.owed, f"nobody waits for {reply}"
        assert type(reply) is self.owed.pop(0)


class EnvoyRules:
    """Raises AssertionError at a reply that Envoy would call spurious."""

    def __init__(self, modes: ProtocolConfig) -> None:
        self.sides = {
            Side.REQUEST: _Side(modes.request_body is BodyMode.FULL_DUPLEX_STREAMED),
            Side.RESPONSE: _Side(modes.response_body is BodyMode.FULL_DUPLEX_STREAMED),
        }
        self.over = False

    def sent(self, event: Event) -> None:
        if not self.over:
            self.sides[event.side].sent(event)

    def got(self, reply: Reply) -> None:
        assert not self.over, f"{reply} after an immediate response"
        if isinstance(reply, ImmediateReply):
            self.over = True
        else:
            self.sides[reply.side].got(reply)
