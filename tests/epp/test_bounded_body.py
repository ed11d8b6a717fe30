import gzip
from collections.abc import AsyncIterator, Callable, Coroutine

import aiohttp
import pytest
from aiohttp import web

from turnout.epp.admin.server import start_admin
from turnout.epp.bounded_body import BodyTooLongError, read_bounded

ZIPPED = gzip.compress(bytes(100_000))


async def whole(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"x" * 1000)


async def in_pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(100):
        await response.write(b"x" * 10)
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 1000)


async def zipped(request: web.Request) -> web.StreamResponse:
    return web.Response(body=ZIPPED, headers={"Content-Encoding": "gzip"})


Ask = Callable[[str], Coroutine[None, None, aiohttp.ClientResponse]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    app = web.Application()
    app.add_routes([web.get(f"/{page.__name__}", page) for page in (whole, in_pieces, endless, zipped)])
    running = await start_admin(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as client:

        async def get(path: str) -> aiohttp.ClientResponse:
            return await client.get(f"http://127.0.0.1:{running.port}/{path}")

        yield get
    await running.close()


@pytest.mark.parametrize("path", ["whole", "in_pieces"])
async def test_a_body_of_exactly_the_limit_is_read(path: str, ask: Ask) -> None:
    assert await read_bounded(await ask(path), 1000) == b"x" * 1000


@pytest.mark.parametrize("path", ["whole", "in_pieces", "endless"])
async def test_a_byte_more_is_refused_and_the_connection_closed(path: str, ask: Ask) -> None:
    response = await ask(path)
    with pytest.raises(BodyTooLongError, match="body is over 999 bytes"):
        await read_bounded(response, 999)
    assert response.closed


async def test_what_counts_is_the_length_after_decompression(ask: Ask) -> None:
    assert len(ZIPPED) < 1000
    with pytest.raises(BodyTooLongError):
        await read_bounded(await ask("zipped"), 99_999)
