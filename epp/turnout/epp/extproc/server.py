"""The gRPC shell around `stream`: ports, TLS, limits, drain, and what becomes of errors."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import grpc
import grpc.aio
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from turnout.epp.extproc.health import EXT_PROC, HealthService, Readiness
from turnout.epp.extproc.messages import decode, encode
from turnout.epp.extproc.session import SessionOptions
from turnout.epp.extproc.stats import StreamStats
from turnout.epp.extproc.stream import ProxyGoneError, Stream
from turnout.epp.extproc.tls import ServingTls, server_credentials
from turnout.epp.extproc.values import Received, Reply
from turnout.epp.requests.exchange import RequestHandler
from turnout.epp.wire_names import REQUEST_END_HEADER, REQUEST_END_IN_ACCESS_LOG
from turnout.framework import ProtocolError

logger = logging.getLogger(__name__)

_IN_ACCESS_LOG: Final = (REQUEST_END_HEADER, REQUEST_END_IN_ACCESS_LOG)
_MIB: Final = 1024 * 1024
# A cancelled stream releases what it holds at once; this only bounds a defect.
_CLEAN_UP_SECONDS: Final = 5.0
_Context: TypeAlias = grpc.aio.ServicerContext[pb.ProcessingRequest, pb.ProcessingResponse]


@dataclass(frozen=True, slots=True)
class ExtProcOptions:
    """The ext_proc port.

    ``port`` 0 takes a free one. ``tls`` None serves plaintext. ``max_receive_bytes`` bounds one gRPC message; None
    means the body limit and 1 MiB for the rest of it. ``health_checking`` adds the health service to this port.
    A proxy that is silent for ``keepalive_seconds`` is pinged; without an answer within as long, its streams end.
    """

    host: str = "0.0.0.0"  # noqa: S104 - the proxy is on another machine as a rule
    port: int = 9002
    tls: ServingTls | None = field(default_factory=ServingTls)
    session: SessionOptions = field(default_factory=SessionOptions)
    max_receive_bytes: int | None = None
    max_send_bytes: int | None = None
    health_checking: bool = False
    keepalive_seconds: float = 20.0


class ExtProcServer:
    """Serves `envoy.service.ext_proc.v3.ExternalProcessor`.

    ``services`` are called with the gRPC server before it starts, to register what shares the port.
    """

    def __init__(
        self,
        handler: RequestHandler,
        options: ExtProcOptions,
        readiness: Readiness,
        *,
        stats: StreamStats | None = None,
        services: Sequence[Callable[[grpc.aio.Server], None]] = (),
    ) -> None:
        self._handler = handler
        self._options = options
        self._readiness = readiness
        self._serving: dict[asyncio.Task[None], Stream] = {}
        self.stats = stats or StreamStats()
        self.port = options.port
        self._server = grpc.aio.server(options=_channel_options(options))
        self._server.add_generic_rpc_handlers((_rpc_handler(self._process),))
        if options.health_checking:
            HealthService(readiness).add_to(self._server)
        for register in services:
            register(self._server)

    async def start(self) -> None:
        """Returns when the port is open.

        Raises:
            CertificateError: the TLS certificate cannot be used.
            RuntimeError: the port is taken.
        """
        address = f"{self._options.host}:{self._options.port}"
        if self._options.tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, server_credentials(self._options.tls))
        await self._server.start()

    async def stop(self, open_streams_seconds: float = 0.0) -> None:
        """Takes no new streams; cancels those that are open after so many seconds, and lets them clean up.

        Streams that are open only for an eviction end in good order first: the proxy cuts the response of one that is
        cancelled. What shares the port is not waited for: an access log's stream lasts as long as its proxy.
        """
        released = [task for task, stream in self._serving.items() if stream.release()]
        if released:
            await asyncio.wait(released, timeout=_CLEAN_UP_SECONDS)
        stopping = asyncio.ensure_future(self._server.stop(open_streams_seconds or None))
        if self._serving and open_streams_seconds:
            await asyncio.wait(self._serving, timeout=open_streams_seconds)
        await self._server.stop(None)
        await stopping
        if self._serving:
            await asyncio.wait(self._serving, timeout=_CLEAN_UP_SECONDS)

    async def _process(self, _messages: object, context: _Context) -> None:
        self.stats.stream_started()
        stream = self._stream(context)
        task = asyncio.current_task()
        if task is not None:
            self._serving[task] = stream
            task.add_done_callback(self._serving.pop)
        started = time.monotonic()
        code = grpc.StatusCode.CANCELLED
        try:
            code, details = await self._serve(stream, context)
            if code is not grpc.StatusCode.OK:
                await context.abort(code, details)
        finally:
            self.stats.stream_ended(code.name, time.monotonic() - started)

    def _stream(self, context: _Context) -> Stream:
        async def read() -> Received | None:
            message = await context.read()
            return decode(message) if isinstance(message, pb.ProcessingRequest) else None  # EOF

        async def write(reply: Reply) -> None:
            try:
                await context.write(encode(reply))
            except grpc.aio.BaseError as error:
                raise ProxyGoneError from error

        return Stream(self._handler, read, write)

    async def _serve(self, stream: Stream, context: _Context) -> tuple[grpc.StatusCode, str]:
        in_access_log = _IN_ACCESS_LOG in (context.invocation_metadata() or ())
        try:
            await stream.run(self._options.session, lease=uuid.uuid4().hex if in_access_log else "")
        except ProtocolError as error:
            logger.warning("ext_proc stream of request %s refused: %s", stream.request_id or "(unknown)", error)
            return grpc.StatusCode.FAILED_PRECONDITION, str(error)
        except Exception:
            # The stream's boundary: what the proxy does without us is its configured failure mode.
            logger.exception("ext_proc stream of request %s failed", stream.request_id or "(unknown)")
            return grpc.StatusCode.INTERNAL, "the endpoint picker failed"
        return grpc.StatusCode.OK, ""


def _rpc_handler(
    process: Callable[[object, _Context], object],
) -> "grpc.GenericRpcHandler[pb.ProcessingRequest, pb.ProcessingResponse]":
    method = grpc.stream_stream_rpc_method_handler(
        process, pb.ProcessingRequest.FromString, pb.ProcessingResponse.SerializeToString
    )
    return grpc.method_handlers_generic_handler(EXT_PROC, {"Process": method})


def _channel_options(options: ExtProcOptions) -> list[tuple[str, int]]:
    receive = options.max_receive_bytes or options.session.max_request_body_bytes + _MIB
    keepalive = round(options.keepalive_seconds * 1000)
    return [
        ("grpc.max_receive_message_length", receive),
        ("grpc.max_send_message_length", -1 if options.max_send_bytes is None else options.max_send_bytes),
        # A second process on the port must fail to start, not share the traffic.
        ("grpc.so_reuseport", 0),
        # gRPC waits two hours by default; as long would the requests of a proxy whose host is gone count as in flight.
        ("grpc.keepalive_time_ms", keepalive),
        ("grpc.keepalive_timeout_ms", keepalive),
        ("grpc.http2.ping_timeout_ms", keepalive),
        # Envoy's keepalive pings, however frequent, are no reason to drop its connection.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ]
