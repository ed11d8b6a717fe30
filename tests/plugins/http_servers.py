"""Servers on free ports that answer as a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from turnout.framework import Endpoint

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """What was asked of a server, as (path, body), and the headers of each request; ``answer`` may be replaced."""

    answer: Answer
    port: int = 0
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"default/{self.port}", "127.0.0.1", self.port)


@asynccontextmanager
async def serving(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    """A server that runs as long as the block."""
    server = Server(answer)

    async def handle(request: web.Request) -> web.StreamResponse:
        server.asked.append((request.path, await request.read()))
        server.headers.append(dict(request.headers))
        return await server.answer(request)

    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def saying(content: bytes, status: int = 200) -> Answer:
    """Always this."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=content, content_type="application/json")

    return answer
