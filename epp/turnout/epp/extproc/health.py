"""gRPC health: on a plaintext port of its own, and on the ext_proc port when asked for."""

import asyncio
from collections.abc import Callable
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

EXT_PROC: Final = "envoy.service.ext_proc.v3.ExternalProcessor"
LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
WATCH_INTERVAL_SECONDS: Final = 0.5

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Whether this process wants traffic: ``ready`` says so and it is not draining."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._draining = asyncio.Event()

    @property
    def draining(self) -> bool:
        """The process is on its way out; this does not change back."""
        return self._draining.is_set()

    def drain(self) -> None:
        """From this moment on every name is not serving."""
        self._draining.set()

    def serving(self, service: str) -> bool:
        """Whether the named service is serving; any name but ``liveness`` asks for readiness."""
        return not self.draining and (service == LIVENESS or self._ready())

    async def wait_for_drain(self, timeout_seconds: float) -> None:
        """Returns when draining begins, at the latest after the timeout."""
        try:
            await asyncio.wait_for(self._draining.wait(), timeout_seconds)
        except TimeoutError:
            return


class HealthService:
    """The service `grpc.health.v1.Health`."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the service before the server starts."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Check(  # noqa: N802 - the name is gRPC's
        self, request: health_pb2.HealthCheckRequest, context: object
    ) -> health_pb2.HealthCheckResponse:
        """The state of one service."""
        return self._response(request.service)

    async def List(  # noqa: N802 - the name is gRPC's
        self, request: health_pb2.HealthListRequest, context: object
    ) -> health_pb2.HealthListResponse:
        """The states of the services that have a meaning of their own."""
        return health_pb2.HealthListResponse(
            statuses={service: self._response(service) for service in (EXT_PROC, LIVENESS, READINESS)}
        )

    async def Watch(  # noqa: N802 - the name is gRPC's
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> None:
        """The state of one service, and each change of it: draining at once, readiness within half a second."""
        told: health_pb2.HealthCheckResponse | None = None
        while True:
            state = self._response(request.service)
            if state != told:
                await context.write(state)
                told = state
            if self._readiness.draining:
                return
            await self._readiness.wait_for_drain(WATCH_INTERVAL_SECONDS)

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=_SERVING if self._readiness.serving(service) else _NOT_SERVING)


class HealthServer:
    """A plaintext gRPC server with nothing but the health service.

    ``port`` 0 takes a free one.
    """

    def __init__(self, readiness: Readiness, *, host: str, port: int) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        HealthService(readiness).add_to(self._server)
        self._address = f"{host}:{port}"
        self.port = port

    async def start(self) -> None:
        """Returns when the port is open.

        Raises:
            RuntimeError: the port is taken.
        """
        self.port = self._server.add_insecure_port(self._address)
        await self._server.start()

    async def stop(self) -> None:
        """Closes the port and ends all calls."""
        await self._server.stop(None)
