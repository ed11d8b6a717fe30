import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from epp.extproc.conversation import body, head, response_body, response_head
from epp.extproc.fakes import FakeExchange, FakeHandler
from turnout.epp.extproc.session import ResponseView, SessionOptions
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
    hold: asyncio.Event | None = None
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
        if isinstance(reply, BodyReply):
            self.decided.set()
            if self.hold is not None:
                await self.hold.wait()
        self.replies.append(reply)

    async def serve(self, handler: FakeHandler, *, in_access_log: bool = False) -> None:
        stream = Stream(handler, self.read, self.write)
        await stream.run(SessionOptions(), lease="l1" if in_access_log else "")

    def start(self, handler: FakeHandler, options: SessionOptions | None = None) -> tuple[Stream, asyncio.Task[None]]:
        """A stream whose end is reported elsewhere, as a task."""
        stream = Stream(handler, self.read, self.write)
        return stream, asyncio.create_task(stream.run(options or SessionOptions(), lease="l1"))


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


# --- eviction --------------------------------------------------------------------------------------------

EVICTED = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "make room", "evicted")
ANSWERED = SessionOptions(view=ResponseView.NOTHING)


def evictable() -> FakeHandler:
    return FakeHandler(outcome=FakeExchange(evictable=True))


def evict(handler: FakeHandler) -> bool:
    assert handler.exchange.evictor is not None
    return handler.exchange.evictor(EVICTED)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("events", [(), (response_head(),), (response_head(), response_body(b"a"))])
async def test_an_eviction_reaches_a_stream_that_waits_for_the_proxy(events: tuple[Event, ...]) -> None:
    proxy, handler = Proxy(), evictable()
    proxy.say(*WHOLE, *events)
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    await turns(10)
    assert len(proxy.replies) == 2 + len(events)
    assert evict(handler)
    assert handler.exchange.finished == [Termination.EVICTED]
    await serving
    assert proxy.replies[-1] == ImmediateReply(EVICTED)
    assert handler.exchange.closed.is_set()
    assert handler.exchange.evictor is None


async def test_an_eviction_in_the_middle_of_a_reply_follows_it() -> None:
    proxy, handler = Proxy(hold=asyncio.Event()), evictable()
    proxy.say(*WHOLE, response_head())
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    assert evict(handler)
    await turns(10)
    assert [type(reply) for reply in proxy.replies] == [HeadersReply]
    assert proxy.hold is not None
    proxy.hold.set()
    await serving
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply, ImmediateReply]


@pytest.mark.parametrize("turns_between", range(4))
async def test_of_two_evictions_the_first_counts(turns_between: int) -> None:
    proxy, handler = Proxy(), evictable()
    proxy.say(*WHOLE)
    stream, serving = proxy.start(handler, ANSWERED)
    await proxy.decided.wait()
    await turns(5)
    evictor = handler.exchange.evictor
    assert evictor is not None
    assert evictor(EVICTED)
    await turns(turns_between)
    assert not evictor(EVICTED)
    stream.release()
    await serving
    assert proxy.replies.count(ImmediateReply(EVICTED)) == 1
    assert handler.exchange.finished == [Termination.EVICTED]


@pytest.mark.parametrize("turns_between", range(4))
async def test_an_eviction_and_a_message_at_the_same_time(turns_between: int) -> None:
    proxy, handler = Proxy(), evictable()
    proxy.say(*WHOLE)
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    await turns(5)
    proxy.say(response_head())
    await turns(turns_between)
    assert evict(handler)
    await serving
    assert proxy.replies[-1] == ImmediateReply(EVICTED)


async def test_an_eviction_and_the_end_of_the_client_at_the_same_time() -> None:
    proxy, handler = Proxy(), evictable()
    proxy.say(*WHOLE)
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    await turns(5)
    assert evict(handler)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert handler.exchange.finished == [Termination.EVICTED]
    assert handler.exchange.closed.is_set()


async def test_an_eviction_that_the_proxy_does_not_want_to_hear_is_no_error() -> None:
    proxy, handler = Proxy(gone_at=ImmediateReply), evictable()
    proxy.say(*WHOLE)
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    await turns(5)
    assert evict(handler)
    await serving
    assert handler.exchange.finished == [Termination.EVICTED]


async def test_a_response_that_has_ended_is_not_evicted() -> None:
    proxy, handler = Proxy(), evictable()
    proxy.say(*WHOLE, response_head(end=True))
    _, serving = proxy.start(handler)
    await proxy.decided.wait()
    await turns(10)
    assert not evict(handler)
    proxy.close()
    await serving
    assert ImmediateReply(EVICTED) not in proxy.replies
    assert handler.exchange.finished == [Termination.NATURAL]


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.STREAMED])
async def test_a_released_stream_ends_without_a_word(mode: BodyMode) -> None:
    proxy, handler = Proxy(ProtocolConfig(mode, BodyMode.NONE)), evictable()
    proxy.say(*WHOLE)
    stream, serving = proxy.start(handler, ANSWERED)
    await proxy.decided.wait()
    await turns(10)
    assert not serving.done()
    assert stream.release()
    await serving
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply]
    assert handler.exchange.evictor is None
    assert handler.exchange.finished == []


async def test_a_stream_released_before_its_decision_ends_with_it() -> None:
    proxy = Proxy()
    handler = FakeHandler(outcome=FakeExchange(evictable=True), gate=asyncio.Event())
    proxy.say(*WHOLE)
    stream, serving = proxy.start(handler, ANSWERED)
    await handler.asking.wait()
    assert not stream.release()
    assert handler.gate is not None
    handler.gate.set()
    await serving
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply]


async def test_a_stream_that_has_not_begun_or_that_the_response_needs_is_not_released() -> None:
    proxy, handler = Proxy(), evictable()
    stream, serving = proxy.start(handler)
    assert not stream.release()
    proxy.say(*WHOLE)
    await proxy.decided.wait()
    await turns(10)
    assert not stream.release()
    assert not serving.done()
    proxy.say(response_head(), response_body(b"a", end=True))
    proxy.close()
    await serving
    assert handler.exchange.finished == [Termination.NATURAL]


async def test_a_request_that_is_not_evictable_has_no_evictor() -> None:
    proxy, handler = Proxy(), FakeHandler()
    proxy.say(*WHOLE)
    _, serving = proxy.start(handler, ANSWERED)
    await serving
    assert handler.exchange.evictor is None
    assert [type(reply) for reply in proxy.replies] == [HeadersReply, BodyReply]
