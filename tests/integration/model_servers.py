"""Model servers that record what reaches them and misbehave when told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from turnout.epp.gateway.options import Address

Behaviour = Literal["answer", "error", "hang", "hold", "reset"]
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS = b"""\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 0.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="m"} 0.0
"""


async def good_page(request: web.Request) -> web.StreamResponse:
    return web.Response(body=METRICS, content_type="text/plain")


@dataclass(frozen=True)
class Received:
    """One request as it reached a model server. Header names are in lower case, in order of arrival."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class ModelServer:
    """Answers every path with JSON that repeats the request's model, and says its name in `x-served-by`.

    `behaviour` is for everything but /metrics, which `page` answers; with `hold` each answer waits for one of the
    `permits`. It may be stopped and started again on the same port.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: list[Received] = []
        self.behaviour: Behaviour = "answer"
        self.permits = asyncio.Semaphore(0)
        self.page: Page = good_page
        self.scrapes = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = int(runner.addresses[0][1])
        self._runner = runner

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        self.scrapes += 1
        return await self.page(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        self.received.append(Received(request.method, request.path_qs, headers, body))
        match self.behaviour:
            case "hang":
                await asyncio.Event().wait()
            case "hold":
                await self.permits.acquire()
            case "reset":
                assert request.transport is not None
                request.transport.abort()
            case "error":
                return web.json_response({"error": {"message": "broken"}}, status=500)
        return self._answer(body)

    def _answer(self, body: bytes) -> web.Response:
        try:
            model = json.loads(body)["model"]
        except (ValueError, KeyError, TypeError):
            model = ""
        document = {"served": self.name, "model": model, "length": len(body)}
        response = web.json_response(document, dumps=lambda value: json.dumps(value, separators=(",", ":")))
        response.headers["x-served-by"] = self.name
        response.headers.add("set-cookie", "first=1; Path=/")
        response.headers.add("set-cookie", "second=2; HttpOnly")
        return response


@asynccontextmanager
async def model_servers(*names: str) -> AsyncIterator[list[ModelServer]]:
    servers = [ModelServer(name) for name in names]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            await server.stop()
