import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from epp.extproc.conversation import body, head, response_head
from epp.extproc.fakes import FakeExchange, FakeHandler
from turnout.epp.extproc.session import SessionOptions
from turnout.epp.extproc.stream import ProxyGoneError, Stream
from turnout.epp.extproc.values import (
    BodyMode,
    BodyReply,
    Event,
    HeadersReply,
    ImmediateReply,
    ProtocolConfig,
    Received,
    Reply,
    Side,
)
from turnout.epp.requests.exchange import RequestBody, RequestHead, RouteOutcome
from turnout.framework import ProtocolError, Refusal, RefusalKind, Termination

BUFFERED = ProtocolConfig(BodyMode.BUFFERED, BodyMode.STREAMED)


@dataclass
class Proxy:
    """The other end of a stream."""

    modes: ProtocolConfig = BUFFERED
    gone_at: type[Reply] | None = None
    to_read: asyncio.Queue[Received | None] = field(default_factory=asyncio.Queue)
    replies: list[Reply] = field(default_factory=list)
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, *events: Event) -> None:
        for event in events:
            self.to_read.put_nowait(Received(event, None, self.modes))

    def close(self) -> None:
        self.to_read.put_nowait(None)

    async def read(self) -> Received | None:
        return await self.to_read.get()

    async def write(self, reply: Reply) -> None:
        if self.gone_at is not None and isinstance(reply, self.gone_at):
            raise ProxyGoneError
        self.replies.append(reply)
        if isinstance(reply, BodyReply):
            self.decided.set()

    async def serve(self, handler: FakeHandler, *, in_access_log: bool = False) -> None:
        stream = Stream(handler, self.read, self.write)
        await stream.run(SessionOptions(), lease="l1" if in_access_log else "")


WHOLE = (head(), body(b"ab", end=True))


async def test_a_request_is_decided_and_the_exchange_told_of_the_end() -> None:
    proxy, handler = Proxy(), FakeHandler()
    proxy.say(*WHOLE)
    proxy.close()
    await proxy.serve(handler)
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply]
    assert handler.body == b"ab"
    assert handler.exchange.closed.is_set()


async def test_a_stream_that_says_nothing_ends() -> None:
    proxy, handler = Proxy(), FakeHandler()
    proxy.close()
    await proxy.serve(handler)
    assert proxy.replies == []


async def test_a_refusal_ends_the_stream_though_the_proxy_does_not() -> None:
    refusal = Refusal(RefusalKind.UNAVAILABLE, "nothing")
    proxy, handler = Proxy(), FakeHandler(outcome=refusal)
    proxy.say(*WHOLE)
    await proxy.serve(handler)
    assert proxy.replies[-1] == ImmediateReply(refusal)


async def test_a_waiting_decision_is_cancelled_when_the_proxy_closes() -> None:
    proxy, handler = Proxy(), FakeHandler(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    proxy.close()
    await serving
    assert handler.cancelled.is_set()
    assert [type(reply) for reply in proxy.replies] == [HeadersReply]


async def test_a_waiting_decision_is_cancelled_with_the_stream() -> None:
    proxy, handler = Proxy(), FakeHandler(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert handler.cancelled.is_set()


async def test_an_answer_from_elsewhere_cancels_a_waiting_decision_and_is_let_through() -> None:
    proxy, handler = Proxy(), FakeHandler(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    proxy.say(response_head(end=True))
    proxy.close()
    await serving
    assert handler.cancelled.is_set()
    assert proxy.replies[1:] == [HeadersReply(Side.RESPONSE)]


async def test_a_decision_that_takes_its_time_is_answered_with() -> None:
    proxy, handler = Proxy(), FakeHandler(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    assert handler.gate is not None
    handler.gate.set()
    await proxy.decided.wait()
    proxy.say(response_head(end=True))
    proxy.close()
    await serving
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply, HeadersReply]
    assert handler.exchange.finished == [Termination.NATURAL]


@dataclass
class Stubborn(FakeHandler):
    """Decides although it was cancelled, as a decision that was just made does."""

    failure: Exception | None = None

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        try:
            return await super().route(head, body)
        except asyncio.CancelledError:
            if self.failure is not None:
                raise self.failure from None
            return self.exchange


async def test_an_exchange_that_comes_too_late_is_finished() -> None:
    proxy, handler = Proxy(), Stubborn(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler, in_access_log=True))
    await handler.asking.wait()
    proxy.close()
    await serving
    assert handler.exchange.finished == [Termination.CLIENT_DISCONNECT]


async def test_a_decision_that_fails_too_late_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    proxy, handler = Proxy(), Stubborn(gate=asyncio.Event(), failure=RuntimeError("late"))
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    proxy.close()
    with caplog.at_level(logging.WARNING):
        await serving
    assert "a decision that was withdrawn failed" in caplog.text


async def test_an_exchange_that_could_not_be_answered_with_is_finished() -> None:
    proxy, handler = Proxy(gone_at=BodyReply), FakeHandler()
    proxy.say(*WHOLE)
    await proxy.serve(handler, in_access_log=True)
    assert handler.exchange.finished == [Termination.CLIENT_DISCONNECT]
    assert handler.exchange.closed.is_set()


async def test_a_handler_that_fails_fails_the_stream() -> None:
    proxy, handler = Proxy(), FakeHandler(outcome=RuntimeError("broken"))
    proxy.say(*WHOLE)
    with pytest.raises(RuntimeError, match="broken"):
        await proxy.serve(handler)


async def test_an_illegal_message_ends_a_dispatched_request_with_an_error() -> None:
    proxy, handler = Proxy(), FakeHandler()
    proxy.say(*WHOLE, body(b"more"))
    with pytest.raises(ProtocolError):
        await proxy.serve(handler)
    assert handler.exchange.finished == [Termination.ERROR]


async def test_an_illegal_message_while_a_decision_is_made_withdraws_it() -> None:
    proxy, handler = Proxy(), Stubborn(gate=asyncio.Event())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler, in_access_log=True))
    await handler.asking.wait()
    proxy.say(head())
    with pytest.raises(ProtocolError):
        await serving
    assert handler.cancelled.is_set()
    assert handler.exchange.finished == [Termination.CLIENT_DISCONNECT]


async def test_no_task_is_left_behind() -> None:
    proxy, handler = Proxy(), FakeHandler(gate=asyncio.Event(), outcome=FakeExchange())
    proxy.say(*WHOLE)
    serving = asyncio.create_task(proxy.serve(handler))
    await handler.asking.wait()
    serving.cancel()
    await asyncio.wait([serving])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
