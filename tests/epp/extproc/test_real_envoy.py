"""The session against the real thing: what Envoy sends, what it accepts, and what reaches the other end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from epp.extproc.fakes import FakeExchange, FakeHandler
from epp.extproc.real_envoy import RawEndpoint, RawGateway, chunked, envoy_and_server, head, raw_endpoint
from turnout.epp.extproc.session import ResponseView, SessionOptions
from turnout.epp.flowcontrol.outcomes import EVICTED_WHILE_RUNNING as EVICTED
from turnout.epp.requests.exchange import RequestBody, RequestHead, Routed, RouteOutcome
from turnout.framework import Refusal, RefusalKind, Termination

pytestmark = pytest.mark.integration

DESTINATION = "x-gateway-destination-endpoint"
REQUEST_MODES = ["NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"]
RESPONSE_MODES = ["STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"]
SHOWN = ("BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED")
LIMIT_BYTES = 150_000
BODY = b'{"prompt": "hello"}'
CHUNKED = "transfer-encoding: chunked"


@dataclass
class PicksOne(FakeHandler):
    """Picks the same endpoint for each request, unless the outcome of the next one is set."""

    address: str = ""
    next_outcome: RouteOutcome | None = None

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        self.outcome = self.next_outcome or FakeExchange(Routed(self.address, "lease-1"))
        self.next_outcome = None
        return await super().route(head, body)


@dataclass
class Rig:
    """One Envoy, an endpoint, and a handler that picks it."""

    gateway: RawGateway
    endpoint: RawEndpoint
    handler: PicksOne

    def expect(self, body: bytes | None = None, *, evictable: bool = False) -> FakeExchange:
        """The exchange of the next request."""
        exchange = FakeExchange(Routed(self.endpoint.address, "lease-1", body=body), evictable=evictable)
        self.handler.next_outcome = exchange
        return exchange


@asynccontextmanager
async def rig_for(
    request_mode: str,
    response_mode: str = "NONE",
    *,
    access_log: bool = False,
    view: ResponseView = ResponseView.ALL,
) -> AsyncIterator[Rig]:
    handler = PicksOne()
    session = SessionOptions(max_request_body_bytes=LIMIT_BYTES, view=view)
    async with (
        raw_endpoint() as endpoint,
        # Without retries: with them Envoy 1.40 sends a full duplex body twice when trailers follow it
        # (https://github.com/envoyproxy/envoy/issues/45470).
        envoy_and_server(
            handler, request_mode, response_mode, session=session, access_log=access_log, retries=False
        ) as gateway,
    ):
        handler.address = endpoint.address
        yield Rig(gateway, endpoint, handler)


@pytest.mark.parametrize("mode", REQUEST_MODES)
async def test_requests_of_every_shape_arrive_whole_in_every_mode(mode: str) -> None:
    async with rig_for(mode) as rig:
        for method in ("GET", "HEAD", "DELETE"):
            await _without_body(rig, method)
        await _in_one_byte_chunks(rig, mode)
        await _with_trailers(rig)
        await _with_an_empty_body(rig)
        await _with_a_large_body(rig)
        await _with_forged_and_repeated_headers(rig)
        if mode in SHOWN:
            await _with_a_replaced_body(rig)
        await _refused(rig)
        assert set(rig.gateway.epp.stats.ended) <= {"OK", "CANCELLED"}


async def _without_body(rig: Rig, method: str) -> None:
    answer = await rig.gateway.send(head(method), head_only=method == "HEAD")
    assert answer.status == 200
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    received = await rig.endpoint.received.get()
    assert received.all(DESTINATION) == [rig.endpoint.address]
    assert not rig.handler.asked[-1][0].has_body


async def _in_one_byte_chunks(rig: Rig, mode: str) -> None:
    answer = await rig.gateway.send(head("POST", CHUNKED), *chunked(BODY, 1))
    assert answer.body == b"ok"
    assert (await rig.endpoint.received.get()).body == BODY
    if mode in SHOWN:
        assert rig.handler.body == BODY


async def _with_trailers(rig: Rig) -> None:
    answer = await rig.gateway.send(head("POST", CHUNKED), *chunked(BODY, 7, "x-checksum: 1"))
    assert answer.status == 200
    received = await rig.endpoint.received.get()
    assert received.body == BODY
    assert received.trailers == [("x-checksum", "1")]


async def _with_an_empty_body(rig: Rig) -> None:
    for request in (head("POST", "content-length: 0"), head("POST", CHUNKED) + b"0\r\n\r\n"):
        assert (await rig.gateway.send(request)).status == 200
        received = await rig.endpoint.received.get()
        assert received.body == b""
        assert received.all(DESTINATION) == [rig.endpoint.address]


async def _with_a_large_body(rig: Rig) -> None:
    large = bytes(range(250)) * 520
    assert (await rig.gateway.post(large)).status == 200
    assert (await rig.endpoint.received.get()).body == large


async def _with_forged_and_repeated_headers(rig: Rig) -> None:
    forged = (f"{DESTINATION}: 127.0.0.1:9", "x-prefiller-host-port: 127.0.0.1:9", "x-slo-ttft-ms: 5")
    assert (await rig.gateway.post(BODY, *forged, "x-m: 1", "x-m: 2")).status == 200
    received = await rig.endpoint.received.get()
    assert received.all(DESTINATION) == [rig.endpoint.address]
    assert received.all("x-prefiller-host-port") == []
    assert received.all("x-slo-ttft-ms") == []
    assert received.all("x-m") == ["1", "2"]


async def _with_a_replaced_body(rig: Rig) -> None:
    rig.expect(b"something else")
    assert (await rig.gateway.post(BODY)).status == 200
    received = await rig.endpoint.received.get()
    assert received.body == b"something else"
    assert received.all("content-length") in ([], ["14"])


async def _refused(rig: Rig) -> None:
    rig.handler.next_outcome = Refusal(RefusalKind.UNAVAILABLE, "nothing is there", "rejected-no-endpoints")
    answer = await rig.gateway.post(BODY, f"{DESTINATION}: {rig.endpoint.address}")
    assert answer.status == 503
    assert answer.all("content-type") == ["application/json"]
    assert answer.all("x-llm-d-request-dropped-reason") == ["rejected-no-endpoints"]
    assert json.loads(answer.body)["error"]["message"] == "inference error: ServiceUnavailable - nothing is there"
    assert rig.endpoint.received.empty()


@pytest.mark.parametrize("mode", SHOWN)
async def test_a_body_over_the_limit_is_answered_413(mode: str) -> None:
    async with rig_for(mode) as rig:
        answer = await rig.gateway.post(b"x" * (LIMIT_BYTES + 1))
        assert answer.status == 413
        assert b"larger than 150000 bytes" in answer.body
        assert rig.handler.asked == []
        assert (await rig.gateway.post(BODY)).status == 200


ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\ntarget",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntarget\r\n3\r\nabc\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntarget\r\n0\r\nx-t: 1\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("mode", RESPONSE_MODES)
async def test_responses_of_every_shape_reach_client_and_exchange_whole(mode: str) -> None:
    async with rig_for("BUFFERED", mode) as rig:
        for shape, body in (("length", b"target"), ("chunked", b"targetabc"), ("trailers", b"target"), ("empty", b"")):
            rig.endpoint.answer = ANSWERS[shape]
            exchange = rig.expect()
            answer = await rig.gateway.post(BODY)
            assert (shape, answer.body, exchange.seen_body) == (shape, body, body)
            assert answer.trailers == ([("x-t", "1")] if shape == "trailers" else [])
            await exchange.closed.wait()
            assert exchange.finished == [Termination.NATURAL]
        assert set(rig.gateway.epp.stats.ended) <= {"OK", "CANCELLED"}


@pytest.mark.parametrize("mode", RESPONSE_MODES)
async def test_a_response_is_rewritten_and_its_length_dropped(mode: str) -> None:
    async with rig_for("BUFFERED", mode) as rig:
        exchange = rig.expect()
        exchange.rewrites_response, exchange.replace = True, (b"target", b"x")
        exchange.wanted_headers = {"x-session-token": "t"}
        rig.endpoint.answer = ANSWERS["length"]
        answer = await rig.gateway.post(BODY)
        assert answer.body == b"x"
        assert answer.all("content-length") == []
        assert answer.all("x-session-token") == ["t"]
        assert answer.all("set-cookie") == ["a=1", "b=2"]


async def test_a_client_that_goes_away_while_it_waits_cancels_the_decision() -> None:
    async with rig_for("BUFFERED") as rig:
        rig.handler.gate = asyncio.Event()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(head("POST", "content-length: 2") + b"ab")
        await rig.handler.asking.wait()
        writer.close()
        await rig.handler.cancelled.wait()
        assert await reader.read() == b""


async def test_a_client_that_goes_away_amid_the_response_ends_the_exchange() -> None:
    async with rig_for("BUFFERED", "STREAMED") as rig:
        rig.endpoint.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntarget\r\n"
        exchange = rig.expect()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(head("POST", "content-length: 2") + b"ab")
        await reader.readuntil(b"target")
        writer.close()
        await exchange.closed.wait()
        assert exchange.finished == []


async def test_a_stream_is_closed_with_the_decision_when_the_end_comes_by_access_log() -> None:
    async with rig_for("BUFFERED", access_log=True, view=ResponseView.NOTHING) as rig:
        rig.endpoint.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntarget\r\n"
        exchange = rig.expect()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(head("POST", "content-length: 2") + b"ab")
        await reader.readuntil(b"target")
        await exchange.closed.wait()
        # A response has all arrived a moment before its stream has ended.
        await rig.gateway.epp.stop(open_streams_seconds=5.0)
        assert rig.gateway.epp.stats.ended == {"OK": 1}
        assert exchange.finished == []
        assert not reader.at_eof()
        writer.close()


@pytest.mark.parametrize("ending", [b"0\r\n\r\n", b"0\r\nx-trailer: t\r\n\r\n"], ids=["no trailers", "trailers"])
async def test_a_stream_is_closed_with_the_first_piece_and_the_rest_arrives(ending: bytes) -> None:
    async with rig_for("BUFFERED", "STREAMED", access_log=True, view=ResponseView.FIRST_PIECE) as rig:
        pieces = [b"%d" % (number % 10) * 5000 for number in range(40)]
        rig.endpoint.answer = BEGUN
        rig.endpoint.rest = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + ending
        exchange = rig.expect()
        answering = asyncio.ensure_future(rig.gateway.send(head("POST", "content-length: 2"), b"ab"))
        await exchange.closed.wait()
        assert exchange.seen_body == b"target"
        assert not answering.done()
        rig.endpoint.go_on.set()
        answer = await answering
        assert answer.body == b"target" + b"".join(pieces)
        assert exchange.seen_body == b"target"
        assert exchange.finished == []
        # A response has all arrived a moment before its stream has ended.
        await rig.gateway.epp.stop(open_streams_seconds=5.0)
        assert rig.gateway.epp.stats.ended == {"OK": 1}


async def test_pieces_that_cross_the_end_of_the_stream_arrive_in_order() -> None:
    async with rig_for("BUFFERED", "STREAMED", access_log=True, view=ResponseView.FIRST_PIECE) as rig:
        pieces = [b"%04d" % number * 500 for number in range(300)]
        rig.endpoint.answer = BEGUN
        rig.endpoint.rest = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        rig.endpoint.go_on.set()
        for _ in range(20):
            exchange = rig.expect()
            answer = await rig.gateway.send(head("POST", "content-length: 2"), b"ab")
            assert answer.body == b"target" + b"".join(pieces)
            await exchange.closed.wait()
            assert answer.body.startswith(exchange.seen_body)
        # A response has all arrived a moment before its stream has ended.
        await rig.gateway.epp.stop(open_streams_seconds=5.0)
        assert rig.gateway.epp.stats.ended == {"OK": 20}


async def test_an_endpoint_that_hangs_up_shows_as_a_response_of_envoy() -> None:
    async with rig_for("BUFFERED", "STREAMED") as rig:
        rig.endpoint.answer = b"garbage\r\n\r\n"
        exchange = rig.expect()
        answer = await rig.gateway.post(BODY)
        assert answer.status in (502, 503)
        await exchange.closed.wait()
        assert exchange.seen_headers is not None
        assert exchange.seen_headers.get(":status") == str(answer.status)
        assert exchange.finished == [Termination.NATURAL]


BEGUN = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntarget\r\n"
EVERY_MODE = [*((mode, "NONE") for mode in REQUEST_MODES), *(("BUFFERED", mode) for mode in RESPONSE_MODES)]


def evict(exchange: FakeExchange) -> None:
    assert exchange.evictor is not None
    assert exchange.evictor(EVICTED)


@pytest.mark.parametrize(("request_mode", "response_mode"), EVERY_MODE)
async def test_before_the_response_an_evicted_client_is_told_so(request_mode: str, response_mode: str) -> None:
    async with rig_for(request_mode, response_mode) as rig:
        rig.endpoint.answer = b""
        exchange = rig.expect(evictable=True)
        asking = asyncio.create_task(rig.gateway.post(BODY))
        await rig.endpoint.received.get()
        evict(exchange)
        answer = await asking
        assert answer.status == 429
        assert answer.all("content-type") == ["application/json"]
        assert answer.all("x-llm-d-request-dropped-reason") == ["evicted"]
        assert answer.all("retry-after") == ["1"]
        assert json.loads(answer.body)["error"]["code"] == "evicted"
        await rig.endpoint.lost.wait()
        await exchange.closed.wait()
        assert exchange.finished == [Termination.EVICTED]


@pytest.mark.parametrize(
    ("request_mode", "response_mode"), [modes for modes in EVERY_MODE if not modes[1].startswith("BUFFERED")]
)
async def test_amid_the_response_an_evicted_client_is_cut_off(request_mode: str, response_mode: str) -> None:
    async with rig_for(request_mode, response_mode) as rig:
        rig.endpoint.answer = BEGUN
        exchange = rig.expect(evictable=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(head("POST", "content-length: 2") + b"ab")
        await reader.readuntil(b"target\r\n")
        evict(exchange)
        assert await reader.read() == b""
        await rig.endpoint.lost.wait()
        await exchange.closed.wait()
        assert exchange.finished == [Termination.EVICTED]
        writer.close()
