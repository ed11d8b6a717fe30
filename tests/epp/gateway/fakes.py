"""An EPP, model servers and ports for tests that start a real Envoy."""

import asyncio
import dataclasses
import io
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import aiohttp
import grpc.aio
from aiohttp import web
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as ext_proc_grpc

from turnout.epp.gateway.accesslog import AccessLogService, RequestEnd
from turnout.epp.gateway.options import Address, GatewayOptions
from turnout.epp.gateway.process import EnvoyProcess

DESTINATION = "x-gateway-destination-endpoint"


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@dataclass
class FakeEpp:
    """Names `pick` for every request, and keeps what Envoy told it."""

    address: Address
    pick: str = ""
    refuse_with: int | None = None
    stream_metadata: dict[str, str] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    ended: asyncio.Queue[RequestEnd] = field(default_factory=asyncio.Queue)

    async def Process(  # noqa: N802
        self,
        messages: AsyncIterator[ext_proc.ProcessingRequest],
        context: grpc.aio.ServicerContext[ext_proc.ProcessingRequest, ext_proc.ProcessingResponse],
    ) -> AsyncIterator[ext_proc.ProcessingResponse]:
        self.stream_metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        async for message in messages:
            kind = message.WhichOneof("request")
            self.received.append(kind)
            decides = kind == "request_body" or message.request_headers.end_of_stream
            yield self._decision(kind) if decides else _go_on(kind)
            if decides:
                return

    def _decision(self, kind: str) -> ext_proc.ProcessingResponse:
        reply = ext_proc.ProcessingResponse()
        if self.refuse_with is not None:
            reply.immediate_response.status.code = self.refuse_with
            return reply
        option = getattr(reply, kind).response.header_mutation.set_headers.add()
        option.header.key, option.header.raw_value = DESTINATION, self.pick.encode()
        reply.dynamic_metadata.update({"envoy.lb": {DESTINATION: self.pick}, "turnout": {"lease": "lease-1"}})
        return reply


def _go_on(kind: str) -> ext_proc.ProcessingResponse:
    reply = ext_proc.ProcessingResponse()
    getattr(reply, kind).SetInParent()
    return reply


@asynccontextmanager
async def serve_epp() -> AsyncIterator[FakeEpp]:
    large = 64 * 1024 * 1024
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", large)])
    epp = FakeEpp(Address("127.0.0.1", server.add_insecure_port("127.0.0.1:0")))
    ext_proc_grpc.add_ExternalProcessorServicer_to_server(epp, server)
    AccessLogService(epp.ended.put_nowait).add_to(server)
    await server.start()
    try:
        yield epp
    finally:
        await server.stop(None)


@asynccontextmanager
async def model_server() -> AsyncIterator[Address]:
    """Answers with its own address, what it received, and the headers it saw."""
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", _answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Address("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _endless(request: web.Request) -> NoReturn:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"data: x\n\n")
        await asyncio.sleep(0.01)


async def _answer(request: web.Request) -> web.Response:
    if request.path == "/endless":
        await _endless(request)
    assert request.transport is not None
    body = await request.read()
    if request.path == "/hang-up":
        request.transport.abort()
    host, port = request.transport.get_extra_info("sockname")
    headers = {name.lower(): value for name, value in request.headers.items()}
    seen = {"served": f"{host}:{port}", "length": len(body), "headers": headers}
    return web.json_response(seen)


@dataclass(frozen=True)
class Answer:
    status: int
    served: str = ""
    length: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Gateway:
    """A running Envoy and a client of it."""

    port: int
    client: aiohttp.ClientSession
    process: EnvoyProcess

    async def post(self, body: bytes = b"{}", path: str = "/v1/x", headers: dict[str, str] | None = None) -> Answer:
        return await self.send("POST", body, path, headers)

    async def get(self) -> Answer:
        return await self.send("GET", None, "/v1/models", None)

    async def send(self, method: str, body: bytes | None, path: str, headers: dict[str, str] | None) -> Answer:
        url = f"http://127.0.0.1:{self.port}{path}"
        data = None if body is None else io.BytesIO(body)
        async with self.client.request(method, url, data=data, headers=headers) as response:
            text = await response.read()
            if response.status != 200:
                return Answer(response.status)
            seen = await response.json() if text else {}
            return Answer(200, seen["served"], seen["length"], seen["headers"])


@asynccontextmanager
async def gateway(options: GatewayOptions) -> AsyncIterator[Gateway]:
    """Envoy with these options, on ports of its own."""
    port = free_port()
    placed = dataclasses.replace(options, listen=Address("127.0.0.1", port), admin_port=free_port())
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(EnvoyProcess(placed))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Gateway(port, client, process)
