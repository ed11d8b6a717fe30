import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from epp.extproc.fakes import FakeExchange, FakeHandler
from epp.extproc.test_tls import write_pair
from turnout.epp.extproc.health import EXT_PROC, Readiness
from turnout.epp.extproc.server import ExtProcOptions, ExtProcServer
from turnout.epp.extproc.session import ResponseView, SessionOptions
from turnout.epp.extproc.tls import ServingTls
from turnout.epp.flowcontrol.outcomes import EVICTED_WHILE_RUNNING as EVICTED
from turnout.epp.gateway.accesslog import AccessLogService
from turnout.framework import Refusal, RefusalKind

PLAIN = ExtProcOptions("127.0.0.1", 0, None)
Call = grpc.aio.StreamStreamCall[pb.ProcessingRequest, pb.ProcessingResponse]
BODY = pb.ProcessingRequest(request_body=pb.HttpBody(body=b"ab", end_of_stream=True))


def head(mode: str = "BUFFERED", *, end: bool = False) -> pb.ProcessingRequest:
    headers = base_pb2.HeaderMap(headers=[base_pb2.HeaderValue(key="x-request-id", raw_value=b"id-7")])
    message = pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=headers, end_of_stream=end))
    message.protocol_config.request_body_mode = processing_mode_pb2.ProcessingMode.BodySendMode.Value(mode)
    return message


@asynccontextmanager
async def running(
    handler: FakeHandler, options: ExtProcOptions = PLAIN, readiness: Readiness | None = None
) -> AsyncIterator[ExtProcServer]:
    server = ExtProcServer(handler, options, readiness or Readiness(lambda: True))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def stream(server: ExtProcServer, *metadata: tuple[str, str]) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call: Call = pb_grpc.ExternalProcessorStub(channel).Process(metadata=metadata)
        yield call
        call.cancel()


async def reply(call: Call) -> pb.ProcessingResponse:
    message = await call.read()
    assert isinstance(message, pb.ProcessingResponse)
    return message


async def at_end(call: Call) -> bool:
    return not isinstance(await call.read(), pb.ProcessingResponse)


async def test_a_request_is_decided_over_a_real_channel() -> None:
    handler = FakeHandler()
    async with running(handler) as server, stream(server) as call:
        await call.write(head())
        assert (await reply(call)).HasField("request_headers")
        await call.write(BODY)
        decision = await reply(call)
        (option,) = decision.request_body.response.header_mutation.set_headers
        assert option.header.raw_value == b"10.0.0.1:8000"
        assert server.stats.in_flight == 1
        await call.done_writing()
        assert await at_end(call)
        assert await call.code() is grpc.StatusCode.OK
        await server.stop(5.0)
        assert server.stats.ended == {"OK": 1}
        assert server.stats.in_flight == 0
    assert handler.exchange.closed.is_set()
    assert not handler.asked[0][0].lease


async def test_the_streams_metadata_says_where_the_end_is_reported() -> None:
    handler = FakeHandler()
    options = replace(PLAIN, session=SessionOptions(view=ResponseView.NOTHING))
    async with running(handler, options) as server, stream(server, ("x-turnout-request-end", "access-log")) as call:
        await call.write(head(end=True))
        await reply(call)
        assert await at_end(call)
        assert await call.code() is grpc.StatusCode.OK
    assert handler.asked[0][0].lease


async def test_a_refusal_closes_the_stream_in_order() -> None:
    handler = FakeHandler(outcome=Refusal(RefusalKind.UNAVAILABLE, "nothing"))
    async with running(handler) as server, stream(server) as call:
        await call.write(head(end=True))
        assert (await reply(call)).immediate_response.status.code == 503
        assert await at_end(call)
        assert await call.code() is grpc.StatusCode.OK


async def test_cancelling_the_stream_cancels_a_waiting_decision() -> None:
    handler = FakeHandler(gate=asyncio.Event())
    async with running(handler) as server:
        async with stream(server) as call:
            await call.write(head(end=True))
            await handler.asking.wait()
            call.cancel()
            await handler.cancelled.wait()
        await server.stop()
        assert server.stats.in_flight == 0
        assert server.stats.ended.total() == 1


@asynccontextmanager
async def relay(port: int, cut: asyncio.Event) -> AsyncIterator[int]:
    """A port that passes everything on until ``cut``, and from then on nothing but the end."""
    serving: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if not cut.is_set():
                sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer), return_exceptions=True)
        await asyncio.gather(writer.wait_closed(), up_writer.wait_closed(), return_exceptions=True)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.wait(serving)


async def test_a_waiting_decision_is_cancelled_when_the_proxys_host_is_gone() -> None:
    handler, cut = FakeHandler(gate=asyncio.Event()), asyncio.Event()
    async with (
        running(handler, replace(PLAIN, keepalive_seconds=0.2)) as server,
        relay(server.port, cut) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call: Call = pb_grpc.ExternalProcessorStub(channel).Process()
        await call.write(head(end=True))
        await handler.asking.wait()
        cut.set()
        await handler.cancelled.wait()
        call.cancel()


async def test_cancelling_the_stream_amid_the_response_tells_the_exchange() -> None:
    handler = FakeHandler()
    async with running(handler) as server, stream(server) as call:
        await call.write(head(end=True))
        await reply(call)
        call.cancel()
        await handler.exchange.closed.wait()
    assert handler.exchange.finished == []


@pytest.mark.parametrize(
    ("message", "details"),
    [
        pytest.param(BODY, "a body message of the request came before its headers", id="an illegal order"),
        pytest.param(head("GRPC"), "request body mode GRPC is not supported", id="a mode that is not served"),
        pytest.param(pb.ProcessingRequest(), "a message without headers, body or trailers", id="an empty message"),
    ],
)
async def test_a_protocol_error_fails_the_stream_with_its_reason(message: pb.ProcessingRequest, details: str) -> None:
    async with running(FakeHandler()) as server, stream(server) as call:
        await call.write(message)
        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert await call.details() == details
        await server.stop(5.0)  # the client hears of the end before the stream is counted
        assert server.stats.ended == {"FAILED_PRECONDITION": 1}


async def test_an_unexpected_error_fails_the_stream_and_is_logged_with_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = FakeHandler(outcome=RuntimeError("broken"))
    with caplog.at_level(logging.ERROR):
        async with running(handler) as server, stream(server) as call:
            await call.write(head(end=True))
            assert await call.code() is grpc.StatusCode.INTERNAL
            assert await call.details() == "the endpoint picker failed"
    (record,) = [record for record in caplog.records if record.name == "turnout.epp.extproc.server"]
    assert record.getMessage() == "ext_proc stream of request id-7 failed"
    assert record.exc_info is not None


async def test_a_message_over_the_limit_is_refused_by_grpc() -> None:
    options = replace(PLAIN, max_receive_bytes=1000)
    large = pb.ProcessingRequest(request_body=pb.HttpBody(body=b"x" * 2000, end_of_stream=True))
    async with running(FakeHandler(), options) as server, stream(server) as call:
        await call.write(head())
        await reply(call)
        await call.write(large)
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with running(FakeHandler()) as server:
        other = ExtProcServer(FakeHandler(), replace(PLAIN, port=server.port), Readiness(lambda: True))
        with pytest.raises(RuntimeError, match="Failed to bind"):
            await other.start()
        await other.stop()


async def test_stopping_lets_open_streams_finish() -> None:
    async with running(FakeHandler()) as server, stream(server) as call:
        await call.write(head())
        await reply(call)
        stopping = asyncio.create_task(server.stop(30.0))
        await call.write(BODY)
        assert (await reply(call)).HasField("request_body")
        assert not stopping.done()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        await stopping


async def test_stopping_cancels_streams_that_stay_too_long() -> None:
    handler = FakeHandler(gate=asyncio.Event())
    async with running(handler) as server, stream(server) as call:
        await call.write(head(end=True))
        await handler.asking.wait()
        await server.stop(0.05)
        assert handler.cancelled.is_set()


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
async def test_stopping_ends_streams_that_wait_for_an_eviction_in_good_order(seconds: float) -> None:
    handler = FakeHandler(outcome=FakeExchange(evictable=True))
    options = replace(PLAIN, session=SessionOptions(view=ResponseView.NOTHING))
    async with running(handler, options) as server, stream(server, ("x-turnout-request-end", "access-log")) as call:
        await call.write(head(end=True))
        await reply(call)
        await server.stop(seconds)
        assert await call.code() is grpc.StatusCode.OK
        assert server.stats.ended == {"OK": 1}


async def test_an_evicted_client_is_answered_and_the_stream_ends_in_good_order() -> None:
    handler = FakeHandler(outcome=FakeExchange(evictable=True))
    async with running(handler) as server, stream(server) as call:
        await call.write(head(end=True))
        await reply(call)
        assert handler.exchange.evictor is not None
        assert handler.exchange.evictor(EVICTED)
        told = (await reply(call)).immediate_response
        assert (told.status.code, told.details) == (429, "turnout_evicted")
        assert {option.header.key: option.header.raw_value for option in told.headers.set_headers} == {
            "content-type": b"application/json",
            "x-llm-d-request-dropped-reason": b"evicted",
            "retry-after": b"1",
        }
        assert await call.code() is grpc.StatusCode.OK


async def test_stopping_does_not_wait_for_an_access_log() -> None:
    options = [AccessLogService(lambda end: None).add_to]
    server = ExtProcServer(FakeHandler(), PLAIN, Readiness(lambda: True), services=options)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        log = als_pb2_grpc.AccessLogServiceStub(channel).StreamAccessLogs()
        await log.write(als_pb2.StreamAccessLogsMessage())
        await log.wait_for_connection()
        async with stream(server) as call:
            await call.write(head())
            await reply(call)
            stopping = asyncio.create_task(server.stop(3600.0))
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
        await stopping


@pytest.mark.parametrize(("enabled", "code"), [(True, grpc.StatusCode.OK), (False, grpc.StatusCode.UNIMPLEMENTED)])
async def test_the_health_service_is_on_the_port_when_asked_for(enabled: bool, code: grpc.StatusCode) -> None:
    async with (
        running(FakeHandler(), replace(PLAIN, health_checking=enabled)) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=EXT_PROC))
        assert await call.code() is code


@asynccontextmanager
async def secure_stream(server: ExtProcServer, trusted: bytes) -> AsyncIterator[Call]:
    credentials = grpc.ssl_channel_credentials(trusted)
    # gRPC shares connections between channels with the same arguments; each of these has one of its own.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials, options) as channel:
        yield pb_grpc.ExternalProcessorStub(channel).Process()


async def test_the_certificate_of_the_folder_is_served_and_a_new_one_taken_up(tmp_path: Path) -> None:
    tls = ServingTls(tmp_path, reload=True)
    _, old = write_pair(tmp_path)
    async with running(FakeHandler(), replace(PLAIN, tls=tls)) as server:
        async with secure_stream(server, old) as call:
            await call.write(head(end=True))
            await reply(call)
        _, new = write_pair(tmp_path)
        async with secure_stream(server, new) as call:
            await call.write(head(end=True))
            await reply(call)
        (tmp_path / "tls.crt").write_bytes(b"garbage")
        async with secure_stream(server, new) as call:
            await call.write(head(end=True))
            await reply(call)


async def test_a_plaintext_client_gets_nothing_from_a_secure_port() -> None:
    async with running(FakeHandler(), replace(PLAIN, tls=ServingTls())) as server, stream(server) as call:
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_shares_the_port_is_registered() -> None:
    seen: list[grpc.aio.Server] = []
    server = ExtProcServer(FakeHandler(FakeExchange()), PLAIN, Readiness(lambda: True), services=[seen.append])
    await server.start()
    await server.stop()
    assert len(seen) == 1
