import aiohttp
import pytest
from aiohttp import web

from turnout.epp.admin.server import start_admin


def hello() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    return app


async def test_a_free_port_is_named_and_served_until_closed() -> None:
    running = await start_admin(hello(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{running.port}/"
    async with aiohttp.ClientSession() as client:
        async with client.get(url) as response:
            assert await response.text() == "hello"
        await running.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(url)


async def test_a_taken_port_is_an_error_at_the_start() -> None:
    running = await start_admin(hello(), "127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="address already in use"):
            await start_admin(hello(), "127.0.0.1", running.port)
    finally:
        await running.close()
