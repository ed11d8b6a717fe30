"""Metrics pages that are no metrics pages, while a real Envoy serves."""

import asyncio
import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from integration.gateways import Mode, world
from integration.load import Load
from integration.model_servers import METRICS, ModelServer, Page, good_page, model_servers

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


def fixed(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Page:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return page


async def hanging(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"# x\n")
        await asyncio.sleep(0.02)


@dataclass
class Flood:
    """An endless page, or one of a declared length. ``sent`` is the most that was taken of one page."""

    length: int | None = None
    sent: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = self.length
        await response.prepare(request)
        sent = 0
        piece = b"vllm:num_requests_waiting 1.0\n" * 2000
        while self.length is None or sent + len(piece) <= self.length:
            await response.write(piece)
            sent += len(piece)
            self.sent = max(self.sent, sent)
        await response.write(b" " * (self.length - sent))
        return response


BAD_PAGES: dict[str, Page] = {
    "HTML": fixed(b"<html>login</html>"),
    "bytes": fixed(bytes(range(256)) * 1000),
    "a value that is no number": fixed(METRICS.replace(b"} 0.0", b"} many")),
    "status 404": fixed(b"not here", status=404),
    "a redirect to itself": fixed(b"", status=302, headers={"Location": "/metrics"}),
    "compressed": fixed(gzip.compress(METRICS + b"#" * (100 * MIB)), headers={"Content-Encoding": "gzip"}),
    "no answer": hanging,
    "endless drops": dripping,
}


async def test_endpoints_with_bad_pages_are_taken_out_and_the_others_serve(tmp_path: Path) -> None:
    async with model_servers(*BAD_PAGES, "good", "fine") as servers:
        for server in servers[:-2]:
            server.page = BAD_PAGES[server.name]
        async with world(Mode.BUFFERED, tmp_path, [server.url for server in servers]) as running:
            async with Load(running.gateway, workers=2) as load:
                for server in servers[:-2]:
                    await running.pages.becomes(server.address, in_service=False)
            assert set(load.outcomes) == {200}
            answers = [await running.gateway.chat(f"prompt {number}") for number in range(12)]
            assert {answer.served for answer in answers} == {"good", "fine"}
            assert list((await running.pages.in_service()).values()) == [False] * 8 + [True] * 2

            for server in servers[:-2]:
                server.page = good_page
            for server in servers[:-2]:
                await running.pages.becomes(server.address, in_service=True)
            await running.pages.settled()


@pytest.mark.parametrize(
    "length", [pytest.param(None, id="an endless page"), pytest.param(100 * MIB, id="a page of 100 MB")]
)
async def test_no_more_of_a_page_is_read_than_its_bound(
    servers: list[ModelServer], tmp_path: Path, length: int | None
) -> None:
    flood = Flood(length)
    servers[0].page = flood
    async with world(Mode.BUFFERED, tmp_path, [server.url for server in servers]) as running:
        async with Load(running.gateway, workers=2) as load:
            await running.pages.becomes(servers[0].address, in_service=False)
        assert set(load.outcomes) == {200}
        # 4 MiB are read; the rest lay in the sockets' buffers.
        assert 4 * MIB < flood.sent < 16 * MIB
        await running.gateway.still_serves()


async def test_with_every_page_bad_all_endpoints_go_on_serving(servers: list[ModelServer], tmp_path: Path) -> None:
    for server in servers:
        server.page = fixed(b"\xff\x00")
    async with world(Mode.BUFFERED, tmp_path, [server.url for server in servers]) as running:
        for server in servers:
            await running.pages.becomes(server.address, in_service=False)
        answers = [await running.gateway.chat(f"prompt {number}") for number in range(40)]
        assert {answer.status for answer in answers} == {200}
        assert {answer.served for answer in answers} == {"a", "b", "c", "d"}
        await running.pages.settled()
