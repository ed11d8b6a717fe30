"""`turnout up` in front of a real vLLM, as a user of the `openai` client and an operator see it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionUserMessageParam
from prometheus_client.parser import text_string_to_metric_families

from engines.load import MODELS, endless_streams, openai_client
from engines.polling import until
from engines.vllm_server import ADAPTERS, MODEL, VllmServer
from turnout.epp.demo.servers import Child

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "Which way?"}


@dataclass(frozen=True)
class Gateway:
    url: str
    admin_url: str


@pytest.fixture
async def gateway(vllm: VllmServer) -> AsyncIterator[Gateway]:
    ports = [str(port) for port in free_ports(2)]
    arguments = ("--port", ports[0], "--envoy-admin-port", ports[1], "--metrics-port", "0", "--json")
    async with Child("up", "--endpoint", vllm.url, *arguments) as child:
        yield Gateway(str(child.announced["url"]), str(child.announced["admin_url"]))


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai_client(gateway.url) as opened:
        yield opened


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


async def stream(client: openai.AsyncOpenAI, model: str, tokens: int) -> openai.AsyncStream[ChatCompletionChunk]:
    return await client.chat.completions.create(
        model=model,
        messages=[QUESTION],
        max_completion_tokens=tokens,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )


async def chunks(client: openai.AsyncOpenAI, model: str, tokens: int) -> list[ChatCompletionChunk]:
    async with await stream(client, model, tokens) as answer:
        return [chunk async for chunk in answer]


def text(answer: list[ChatCompletionChunk]) -> list[str]:
    return [part for chunk in answer for choice in chunk.choices if (part := choice.delta.content)]


async def endpoint(http: aiohttp.ClientSession, gateway: Gateway) -> Mapping[str, Any]:
    """The picker's only endpoint, as its admin page shows it."""
    async with http.get(f"{gateway.admin_url}/endpoints") as response:
        (shown,) = (await response.json())["endpoints"]
        return dict(shown)


async def reported(http: aiohttp.ClientSession, vllm: VllmServer, name: str) -> float:
    """A value as vLLM itself says."""
    async with http.get(f"{vllm.url}/metrics") as response:
        page = await response.text()
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    (value,) = (sample.value for sample in samples if sample.name == name)
    return value


async def running(http: aiohttp.ClientSession, vllm: VllmServer) -> float:
    return await reported(http, vllm, "vllm:num_requests_running")


async def generated(http: aiohttp.ClientSession, vllm: VllmServer) -> float:
    return await reported(http, vllm, "vllm:generation_tokens_total")


async def test_a_chat_arrives_in_pieces_with_usage_at_the_end(client: openai.AsyncOpenAI) -> None:
    answer = await chunks(client, MODEL, 60)
    # A few of the random tokens are special ones, which have no text.
    assert 20 < len(text(answer)) <= 60
    assert {chunk.model for chunk in answer} == {"tiny"}
    assert [choice.finish_reason for chunk in answer for choice in chunk.choices if choice.finish_reason] == ["length"]
    assert answer[-1].usage is not None
    # "user: Which way?", a line break and "assistant: ", a token for each character.
    assert (answer[-1].usage.prompt_tokens, answer[-1].usage.completion_tokens) == (28, 60)


async def test_a_chat_with_an_adapter_is_answered_by_the_adapter(client: openai.AsyncOpenAI) -> None:
    answer = await chunks(client, "adapter-a", 8)
    assert {chunk.model for chunk in answer} == {"adapter-a"}


async def test_twelve_streams_at_once_are_all_complete(client: openai.AsyncOpenAI) -> None:
    answers = await asyncio.gather(*(chunks(client, model, 100) for model in MODELS * 4))
    used = [answer[-1].usage.completion_tokens if answer[-1].usage else None for answer in answers]
    assert used == [100] * 12


async def test_a_stream_that_the_client_leaves_ends_in_the_server_and_in_the_pickers_books(
    client: openai.AsyncOpenAI, http: aiohttp.ClientSession, vllm: VllmServer, gateway: Gateway
) -> None:
    before = await generated(http, vllm)
    async with await stream(client, MODEL, 1_900) as answer:
        await anext(answer)
        await until(lambda: running(http, vllm), lambda count: count == 1)
        await until(lambda: endpoint(http, gateway), lambda shown: shown["in_flight"] == 1)
    await until(lambda: running(http, vllm), lambda count: count == 0)
    assert await generated(http, vllm) - before < 1_900
    await until(lambda: endpoint(http, gateway), lambda shown: shown["in_flight"] == 0)


@pytest.mark.parametrize(
    ("model", "tokens", "error"),
    [
        pytest.param(MODEL, 1_000_000, openai.BadRequestError, id="more tokens than the model takes"),
        pytest.param("no-such-model", 8, openai.NotFoundError, id="a model that the server does not have"),
    ],
)
async def test_the_servers_own_error_reaches_the_client(
    client: openai.AsyncOpenAI,
    http: aiohttp.ClientSession,
    vllm: VllmServer,
    model: str,
    tokens: int,
    error: type[openai.APIStatusError],
) -> None:
    with pytest.raises(error) as through_gateway:
        await chunks(client, model, tokens)
    async with openai_client(vllm.url) as direct:
        with pytest.raises(error) as straight:
            await chunks(direct, model, tokens)
    assert through_gateway.value.body == straight.value.body


async def test_the_admin_page_shows_what_the_server_reports_while_it_serves(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    async with endless_streams(gateway.url, MODELS * 4):
        busy = await until(
            lambda: endpoint(http, gateway),
            lambda shown: (
                shown["metrics"]["running_requests"]["value"] == 8
                and shown["metrics"]["waiting_queue_size"]["value"] == 4
                and len(shown["metrics"]["active_adapters"]["value"]) == 2
            ),
        )
    metrics = {name: entry["value"] for name, entry in busy["metrics"].items()}
    assert metrics["active_adapters"] == list(ADAPTERS)
    assert 0 < metrics["kv_cache_utilization"] < 1
    assert (metrics["cache_block_size"], metrics["cache_num_blocks"], metrics["max_active_adapters"]) == (32, 256, 2)
    assert (busy["in_flight"], busy["in_service"], busy["reason"]) == (12, True, "")
    idle = await until(lambda: endpoint(http, gateway), lambda shown: shown["in_flight"] == 0)
    assert idle["in_service"]
    await until(lambda: endpoint(http, gateway), lambda shown: shown["metrics"]["running_requests"]["value"] == 0)
