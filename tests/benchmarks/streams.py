"""Memory of the picker for requests that wait for their answers."""

import asyncio

import aiohttp

from .figures import BenchmarkError, Figure, Plan, Value
from .gateways import BUFFERED, FULL_DUPLEX, Gateways, connections, gateways
from .pools import chat_body

STREAMS = 500
BODY_BYTES = 2048
PATIENCE_SECONDS = 20.0


async def open_streams(plan: Plan) -> list[Figure]:
    """Growth of resident memory with 500 requests of 2 KB that hang at the upstream."""
    figures = []
    for mode in (BUFFERED, FULL_DUPLEX):
        async with gateways(mode) as running:
            await _warm_up(running, mode)
            before = running.picker.resident_bytes()
            async with connections(running.ports[mode], STREAMS) as clients:
                for number, client in enumerate(clients):
                    client.start_hanging(chat_body(BODY_BYTES, number))
                await _until_all_hang(running)
                grown = running.picker.resident_bytes() - before
        figures.append(Figure("streams", f"each of 500 waiting requests, {mode}", "bytes", Value(grown / STREAMS)))
        plan.advance(0.5)
    return figures


async def _warm_up(running: Gateways, mode: str) -> None:
    async with connections(running.ports[mode], 1) as (client,):
        for number in range(200):
            await client.post(chat_body(BODY_BYTES, number))


async def _until_all_hang(running: Gateways) -> None:
    url = f"http://{running.upstreams[0]}/hanging"
    hanging = 0
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_SECONDS):
            while hanging < STREAMS:
                await asyncio.sleep(0.1)
                async with session.get(url) as response:
                    hanging = (await response.json())["hanging"]
    except TimeoutError:
        raise BenchmarkError(f"only {hanging} of {STREAMS} requests arrived upstream") from None
