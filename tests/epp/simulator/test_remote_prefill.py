import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.simulator.faults import Fault
from turnout.epp.simulator.kv_links import KvLink, KvLinks
from turnout.epp.simulator.remote_prefill import MAX_ANSWER_BYTES, prefill_body
from turnout.epp.simulator.server import RunningSimServer

Start = Callable[..., Awaitable[RunningSimServer]]

LINKS = KvLinks(default=KvLink(bytes_per_second=1e12, latency_seconds=0.0))
# 100 tokens: 6 blocks of 16 and a part of a seventh.
PROMPT = "word" * 100
BLOCK_BYTES = 16 * 131_072


async def complete(
    client: aiohttp.ClientSession, server: RunningSimServer, prefiller: str | None, prompt: str = PROMPT
) -> Any:
    headers = {} if prefiller is None else {"x-prefiller-host-port": prefiller}
    body = {"prompt": prompt, "max_tokens": 4}
    async with client.post(f"{server.url}/v1/completions", json=body, headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def page(client: aiohttp.ClientSession, server: RunningSimServer) -> dict[str, float]:
    async with client.get(f"{server.url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        return {sample.name: sample.value for family in families for sample in family.samples}


def address(server: RunningSimServer) -> str:
    return f"127.0.0.1:{server.port}"


def cached(answer: Any) -> int:
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


async def test_the_prefiller_computes_the_prompt_and_the_decoder_only_its_last_token(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefiller, decoder = await start(), await start(kv_links=LINKS)
    answer = await complete(client, decoder, address(prefiller))
    assert cached(answer) == 99
    assert answer["usage"]["completion_tokens"] == 4
    prefilled, decoded = await page(client, prefiller), await page(client, decoder)
    assert (prefilled["vllm:prompt_tokens_total"], prefilled["vllm:generation_tokens_total"]) == (100, 1)
    assert decoded["vllm:prefix_cache_hits_total"] == 0
    assert decoded["vllm:nixl_xfer_time_seconds_count"] == 1
    assert decoded["vllm:nixl_bytes_transferred_sum"] == 7 * BLOCK_BYTES
    assert decoded["vllm:nixl_num_failed_transfers_total"] == 0


async def test_blocks_that_the_decoder_holds_do_not_travel_again(start: Start, client: aiohttp.ClientSession) -> None:
    prefiller, decoder = await start(), await start(kv_links=LINKS)
    await complete(client, decoder, address(prefiller))
    before = (await page(client, decoder))["vllm:nixl_bytes_transferred_sum"]
    await complete(client, decoder, address(prefiller), PROMPT + "more" * 16)
    # 116 tokens are 8 blocks; the first 6, which are full in both prompts, are cached.
    assert (await page(client, decoder))["vllm:nixl_bytes_transferred_sum"] - before == 2 * BLOCK_BYTES


async def test_a_transfer_takes_the_time_of_the_peers_link_at_the_servers_speed(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefiller = await start()
    links = KvLinks(peers={address(prefiller): KvLink(bytes_per_second=7 * BLOCK_BYTES, latency_seconds=1.0)})
    decoder = await start(kv_links=links, time_scale=0.01)
    begun = asyncio.get_running_loop().time()
    await complete(client, decoder, address(prefiller))
    assert (await page(client, decoder))["vllm:nixl_xfer_time_seconds_sum"] == pytest.approx(0.02)
    assert asyncio.get_running_loop().time() - begun >= 0.02


async def test_a_streamed_chat_with_usage_is_prefilled_elsewhere_too(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefiller, decoder = await start(), await start(kv_links=LINKS)
    body = {
        "messages": [{"role": "user", "content": PROMPT}],
        "max_completion_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"x-prefiller-host-port": address(prefiller)}
    async with client.post(f"{decoder.url}/v1/chat/completions", json=body, headers=headers) as response:
        assert (await response.text()).count('"content":"') == 4
    assert (await page(client, prefiller))["vllm:generation_tokens_total"] == 1


@pytest.mark.parametrize(
    "prefiller",
    [
        pytest.param("127.0.0.1:1", id="nobody listens"),
        pytest.param("127.0.0.1:1/health", id="no host and port"),
    ],
)
async def test_without_a_prefiller_the_decoder_computes_the_prompt_and_counts_it(
    start: Start, client: aiohttp.ClientSession, prefiller: str
) -> None:
    decoder = await start(kv_links=LINKS)
    assert cached(await complete(client, decoder, prefiller)) == 0
    found = await page(client, decoder)
    assert found["vllm:nixl_num_failed_transfers_total"] == 1
    assert found["vllm:nixl_xfer_time_seconds_count"] == 0


@pytest.mark.parametrize("kind", [pytest.param("error", id="it answers 500"), pytest.param("reset", id="it hangs up")])
async def test_a_prefiller_that_fails_costs_the_request_nothing_but_time(
    start: Start, client: aiohttp.ClientSession, kind: str
) -> None:
    fault = Fault(kind="error") if kind == "error" else Fault(kind="reset", after_tokens=0)
    prefiller, decoder = await start(fault=fault), await start(kv_links=LINKS)
    assert cached(await complete(client, decoder, address(prefiller))) == 0
    assert (await page(client, decoder))["vllm:nixl_num_failed_transfers_total"] == 1


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/v1/completions", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_answer_without_end_is_a_failure(start: Start, client: aiohttp.ClientSession) -> None:
    async def flood(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * (MAX_ANSWER_BYTES + 1))

    decoder = await start(kv_links=LINKS)
    async with answering(flood) as prefiller:
        await complete(client, decoder, prefiller)
    assert (await page(client, decoder))["vllm:nixl_num_failed_transfers_total"] == 1


async def test_a_redirection_is_not_followed(start: Start, client: aiohttp.ClientSession) -> None:
    other, decoder = await start(), await start(kv_links=LINKS)

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{other.url}/v1/completions")

    async with answering(redirect) as prefiller:
        await complete(client, decoder, prefiller)
    assert (await page(client, other))["vllm:prompt_tokens_total"] == 0


async def test_a_client_that_goes_away_takes_its_prefill_along(start: Start, client: aiohttp.ClientSession) -> None:
    prefiller, decoder = await start(time_scale=1_000.0), await start(kv_links=LINKS)
    asking = asyncio.create_task(complete(client, decoder, address(prefiller)))
    while (await page(client, prefiller))["vllm:num_requests_running"] == 0:
        pass
    asking.cancel()
    await asyncio.wait([asking])
    while (await page(client, prefiller))["vllm:num_requests_running"] == 1:
        pass


async def test_an_engine_without_links_ignores_the_header_until_it_is_given_some(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefiller, decoder = await start(), await start()
    await complete(client, decoder, address(prefiller))
    assert (await page(client, prefiller))["vllm:prompt_tokens_total"] == 0
    assert "vllm:nixl_xfer_time_seconds_count" not in await page(client, decoder)
    async with client.post(f"{decoder.url}/sim/kv-links", data=b'{"peers": {}}') as response:
        assert (await response.json())["default"]["bytes_per_second"] == 25e9
    await complete(client, decoder, address(prefiller), "other prompt" * 10)
    assert (await page(client, prefiller))["vllm:prompt_tokens_total"] == 30
    assert (await page(client, decoder))["vllm:nixl_xfer_time_seconds_count"] == 1


async def test_links_that_are_wrong_change_nothing(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()
    async with client.post(f"{server.url}/sim/kv-links", data=b'{"peers": 1}') as response:
        assert response.status == 400
        assert "KV links" in (await response.json())["error"]["message"]
    assert "vllm:nixl_xfer_time_seconds_count" not in await page(client, server)


async def test_transfers_are_told_by_the_peer_that_they_came_from(start: Start, client: aiohttp.ClientSession) -> None:
    first, second, decoder = await start(), await start(), await start(kv_links=LINKS)
    for prefiller, prompt in ((first, PROMPT), (first, PROMPT), (second, "other" * 40)):
        await complete(client, decoder, address(prefiller), prompt)
    async with client.get(f"{decoder.url}/sim/kv-transfers") as response:
        told = await response.json()
    assert {peer: (each["transfers"], each["bytes"]) for peer, each in told.items()} == {
        address(first): (2, 8 * BLOCK_BYTES),
        address(second): (1, 4 * BLOCK_BYTES),
    }
    assert told[address(second)]["seconds"] == pytest.approx(4 * BLOCK_BYTES / 1e12 * 0.01)


def test_the_prefiller_is_asked_for_one_token_of_the_same_prompt_and_to_keep_its_blocks() -> None:
    body = {"prompt": "x", "model": "m", "max_tokens": 9, "max_completion_tokens": 9, "stream": True}
    sent = json.loads(prefill_body(json.dumps({**body, "stream_options": {"include_usage": True}}).encode()))
    transfer = sent.pop("kv_transfer_params")
    assert sent == {"prompt": "x", "model": "m", "max_tokens": 1, "stream": False}
    assert (transfer["do_remote_decode"], transfer["do_remote_prefill"]) == (True, False)
