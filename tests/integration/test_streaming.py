"""Streamed answers of simulated engines, through a real Envoy."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError

from epp.gateway.fakes import free_port
from integration.gateways import CHAT, MODEL, Mode, World, chat, until, world
from turnout.epp.datalayer.exposition import read_samples
from turnout.epp.demo.servers import Child
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

RUNNING = "vllm:num_requests_running"


@pytest.fixture
async def engines() -> AsyncIterator[list[RunningSimServer]]:
    """Two engines, ten times as fast as real ones: 1000 tokens take a bit over half a second."""
    started = [await start_sim_server(SimServerOptions(port=0, time_scale=0.1, seed=seed)) for seed in range(2)]
    yield started
    for engine in started:
        await engine.close()


@pytest.fixture
async def running(mode: Mode, engines: list[RunningSimServer], tmp_path: Path) -> AsyncIterator[World]:
    async with world(mode, tmp_path, [engine.url for engine in engines]) as started:
        yield started


async def running_requests(running: World, engines: list[RunningSimServer]) -> float:
    """By the engines' own word."""
    total = 0.0
    for engine in engines:
        async with running.gateway.client.get(f"{engine.url}/metrics") as response:
            page = await response.read()
        total += sum(sample.value for sample in read_samples(page, [RUNNING])[RUNNING])
    return total


async def test_a_stream_that_the_client_leaves_ends_at_the_engine_and_in_the_accounts(
    running: World, engines: list[RunningSimServer]
) -> None:
    body = chat(stream=True, max_tokens=30_000)
    async with aiohttp.ClientSession() as client:
        response = await client.post(running.gateway.url + CHAT, data=body)
        assert response.headers["content-type"].startswith("text/event-stream")
        for _ in range(20):
            await response.content.readuntil(b"\n\n")
        assert await running.pages.in_flight() == 1
        assert await running_requests(running, engines) == 1.0
        response.close()

    async def idle() -> bool:
        return await running_requests(running, engines) == 0.0

    await until(idle, "the engine idle")
    await running.gateway.still_serves()


async def test_an_answer_that_is_not_streamed_and_not_waited_for_ends_too(
    running: World, engines: list[RunningSimServer]
) -> None:
    asking = asyncio.create_task(running.gateway.send("POST", CHAT, chat(max_tokens=30_000)))

    async def is_running() -> bool:
        return await running_requests(running, engines) == 1.0 and await running.pages.in_flight() == 1

    await until(is_running, "one request under way")
    asking.cancel()

    async def idle() -> bool:
        return await running_requests(running, engines) == 0.0

    await until(idle, "the engine idle")
    await running.gateway.still_serves()


async def test_a_stream_that_the_engine_breaks_off_is_broken_off_for_the_client_and_released(
    running: World, engines: list[RunningSimServer]
) -> None:
    for engine in engines:
        fault = {"kind": "reset", "after_tokens": 10}
        await running.gateway.client.post(f"{engine.url}/sim/fault", json=fault)
    async with running.gateway.client.post(running.gateway.url + CHAT, data=chat(stream=True)) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await running.pages.settled()
    for engine in engines:
        await running.gateway.client.post(f"{engine.url}/sim/fault", json={"kind": "none"})
    await running.gateway.still_serves()


async def test_the_openai_client_streams_chat(running: World) -> None:
    await check_openai_client(running.gateway.url)
    await running.pages.settled()


async def check_openai_client(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Hello"}],
            max_tokens=200,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert {chunk.model for chunk in chunks} == {MODEL}
        assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) == 200
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 200
        with pytest.raises(BadRequestError, match="model not found in request body"):
            await client.chat.completions.create(model="", messages=[{"role": "user", "content": "x"}])
        assert [model.id async for model in client.models.list()] == [MODEL]


async def test_the_openai_client_streams_chat_through_turnout_up(engines: list[RunningSimServer]) -> None:
    endpoints = [argument for engine in engines for argument in ("--endpoint", engine.url)]
    ports = ["--port", str(free_port()), "--envoy-admin-port", str(free_port()), "--metrics-port", "0"]
    async with Child("up", *endpoints, *ports, "--json") as gateway:
        await check_openai_client(str(gateway.announced["url"]))


async def test_many_streams_at_once_all_end_whole(running: World, engines: list[RunningSimServer]) -> None:
    async def stream(number: int) -> bytes:
        answer = await running.gateway.send("POST", CHAT, chat(f"prompt {number}", stream=True, max_tokens=50))
        assert answer.status == 200
        return answer.body

    texts = await asyncio.gather(*(stream(number) for number in range(40)))
    assert [text.count(b'"delta":{"content":"') for text in texts] == [50] * 40
    assert [text.endswith(b"data: [DONE]\n\n") for text in texts] == [True] * 40
    await running.pages.settled()
    assert await running_requests(running, engines) == 0.0


@pytest.mark.parametrize("mode", [Mode.FULL_DUPLEX], indirect=True)
async def test_the_name_of_a_rewritten_model_is_given_back_in_every_event_of_a_stream(running: World) -> None:
    body = chat(stream=True, max_tokens=100).replace(MODEL.encode(), b"what-the-client-calls-it")
    headers = [("x-llm-d-model-name-rewrite", MODEL)]
    answer = await running.gateway.send("POST", CHAT, body, headers)
    assert answer.body.count(b'"model":"what-the-client-calls-it"') == 101
    assert MODEL.encode() not in answer.body
    await running.pages.settled()
