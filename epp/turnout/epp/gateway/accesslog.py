"""Envoy's gRPC access log, read for one thing: that a request has ended, and how."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import duration_pb2

from turnout.epp.gateway.log_messages import LogMessage
from turnout.epp.gateway.options import Address
from turnout.epp.wire_names import LEASE_KEY, LEASE_NAMESPACE

logger = logging.getLogger(__name__)

_SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"

# Field of envoy.data.accesslog.v3.ResponseFlags -> the short name that Envoy's text logs use.
_FLAGS: Final = {
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "downstream_protocol_error": "DPE",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "downstream_remote_reset": "DR",
}


@dataclass(frozen=True)
class RequestEnd:
    """How one request ended, as Envoy saw it. Durations are in seconds from the request's first byte."""

    lease: str
    """What the EPP put into the dynamic metadata of this request."""
    served: str | None
    """`ip:port` of the last endpoint tried, IPv6 in brackets; None if none was."""
    status: int
    """The HTTP status sent to the client; 0 if the client was gone before there was one."""
    response_flags: tuple[str, ...]
    """Envoy's short flag names, `UF` or `DC` for example; empty for an undisturbed request."""
    attempts: int
    """Endpoints tried, retries included; 0 if Envoy answered by itself."""
    duration_seconds: float
    time_to_first_byte_seconds: float | None
    """Until the endpoint's first byte of response; None if it sent none."""
    response_bytes: int
    """Body bytes sent to the client."""


class AccessLogService:
    """Serves `envoy.service.accesslog.v3.AccessLogService` and calls `on_end` once for each ended request.

    Entries without a lease, those of requests that the EPP never accounted, are passed over. An entry that
    cannot be used, or whose callback raises, is logged and does not cost the others.
    """

    def __init__(self, on_end: Callable[[RequestEnd], None]) -> None:
        self._on_end = on_end

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the service before the server starts."""
        method = grpc.stream_unary_rpc_method_handler(
            self.StreamAccessLogs, LogMessage.FromString, als_pb2.StreamAccessLogsResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler(_SERVICE, {"StreamAccessLogs": method})
        server.add_generic_rpc_handlers((service,))

    async def StreamAccessLogs(  # noqa: N802 - the name is gRPC's
        self,
        request_iterator: AsyncIterator[als_pb2.StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[als_pb2.StreamAccessLogsMessage, als_pb2.StreamAccessLogsResponse],
    ) -> als_pb2.StreamAccessLogsResponse:
        """One stream per Envoy worker, open for as long as Envoy lives."""
        del context
        async for message in request_iterator:
            for entry in message.http_logs.log_entry:
                self._take(entry)
        return als_pb2.StreamAccessLogsResponse()

    def _take(self, entry: accesslog_pb2.HTTPAccessLogEntry) -> None:
        try:
            end = request_end(entry)
            if end is not None:
                self._on_end(end)
        except Exception:
            # The stream's boundary: one entry must not end the others' reports.
            logger.exception("an access log entry could not be used")


def request_end(entry: accesslog_pb2.HTTPAccessLogEntry) -> RequestEnd | None:
    """What the entry says, or None if it carries no lease."""
    common, response = entry.common_properties, entry.response
    lease = _lease(common)
    if not lease:
        return None
    return RequestEnd(
        lease=lease,
        served=_served(common),
        status=response.response_code.value,
        response_flags=tuple(name for field, name in _FLAGS.items() if getattr(common.response_flags, field)),
        attempts=common.upstream_request_attempt_count,
        duration_seconds=_seconds(common.duration),
        time_to_first_byte_seconds=(
            _seconds(common.time_to_first_upstream_rx_byte)
            if common.HasField("time_to_first_upstream_rx_byte")
            else None
        ),
        response_bytes=response.response_body_bytes,
    )


def _lease(common: accesslog_pb2.AccessLogCommon) -> str:
    metadata = common.metadata.filter_metadata
    if LEASE_NAMESPACE not in metadata:
        return ""
    fields = metadata[LEASE_NAMESPACE].fields
    return str(fields[LEASE_KEY].string_value) if LEASE_KEY in fields else ""


def _served(common: accesslog_pb2.AccessLogCommon) -> str | None:
    socket = common.upstream_remote_address.socket_address
    if not socket.address or not socket.port_value:
        return None
    return str(Address(socket.address, socket.port_value))


def _seconds(duration: duration_pb2.Duration) -> float:
    return float(duration.seconds) + float(duration.nanos) / 1e9
