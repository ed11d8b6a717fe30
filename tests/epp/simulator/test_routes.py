import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.simulator.faults import Fault
from turnout.epp.simulator.server import RunningSimServer

Start = Callable[..., Awaitable[RunningSimServer]]


async def post(client: aiohttp.ClientSession, url: str, body: object) -> tuple[int, Any]:
    async with client.post(url, json=body) as response:
        return response.status, await response.json()


async def events(response: aiohttp.ClientResponse) -> list[str]:
    text = (await response.read()).decode()
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]


async def metric(client: aiohttp.ClientSession, server: RunningSimServer, name: str) -> float:
    async with client.get(f"{server.url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def test_a_completion_has_the_tokens_asked_for_and_usage(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()
    status, body = await post(client, f"{server.url}/v1/completions", {"prompt": "x" * 40, "max_tokens": 5})
    assert status == 200
    assert body["object"] == "text_completion"
    assert len(body["choices"][0]["text"]) == 20
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_a_streamed_chat_has_one_event_per_token_and_the_usage_asked_for(
    start: Start, client: aiohttp.ClientSession
) -> None:
    server = await start()
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "max_completion_tokens": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with client.post(f"{server.url}/v1/chat/completions", json=body) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        received = await events(response)
    assert received[-1] == "[DONE]"
    chunks = [json.loads(event) for event in received[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [len(delta["content"]) for delta in deltas[1:]] == [4, 4, 4]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert reasons == [None, None, None, "length"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 3


async def test_streamed_and_whole_answers_to_one_prompt_are_the_same(
    start: Start, client: aiohttp.ClientSession
) -> None:
    server = await start()
    request: dict[str, object] = {"prompt": "abc", "max_tokens": 6}
    _, whole = await post(client, f"{server.url}/v1/completions", request)
    async with client.post(f"{server.url}/v1/completions", json={**request, "stream": True}) as response:
        received = await events(response)
    text = "".join(json.loads(event)["choices"][0]["text"] for event in received[:-1])
    assert text == whole["choices"][0]["text"]


async def test_the_next_turn_of_a_chat_hits_the_prefix_cache(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()
    messages = [{"role": "user", "content": "x" * 400}]
    _, first = await post(client, f"{server.url}/v1/chat/completions", {"messages": messages})
    assert first["choices"][0]["finish_reason"] == "stop"
    messages += [first["choices"][0]["message"], {"role": "user", "content": "more"}]
    _, second = await post(client, f"{server.url}/v1/chat/completions", {"messages": messages})
    # 109 tokens of prompt and 128 of answer, the last of which is never fed back: 14 full blocks of 16.
    assert first["usage"]["total_tokens"] == 109 + 128
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 14 * 16
    assert await metric(client, server, "vllm:prefix_cache_hits_total") == 14 * 16


@pytest.mark.parametrize("stream", [pytest.param(True, id="streamed"), pytest.param(False, id="whole")])
async def test_a_client_that_goes_away_aborts_its_request(
    start: Start, client: aiohttp.ClientSession, stream: bool
) -> None:
    server = await start(time_scale=1.0)
    body = {"prompt": "x", "max_tokens": 30_000, "stream": stream}
    task = asyncio.create_task(post(client, f"{server.url}/v1/completions", body))
    while await metric(client, server, "vllm:num_requests_running") == 0:
        pass
    task.cancel()
    await asyncio.wait([task])
    while await metric(client, server, "vllm:num_requests_running") == 1:
        pass
    assert await metric(client, server, "vllm:kv_cache_usage_perc") == 0


async def test_adapters_are_models_with_a_parent(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(lora_names=("a", "b"))
    async with client.get(f"{server.url}/v1/models") as response:
        models = (await response.json())["data"]
    assert [(model["id"], model["parent"]) for model in models] == [("tiny", None), ("a", "tiny"), ("b", "tiny")]
    status, body = await post(client, f"{server.url}/v1/completions", {"model": "a", "prompt": "x"})
    assert (status, body["model"], body["usage"]["completion_tokens"]) == (200, "a", 16)
    assert await metric(client, server, "vllm:lora_requests_info") > 0


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        pytest.param("/v1/completions", b"{", 400, "request body: ", id="invalid JSON"),
        pytest.param("/v1/completions", b"", 400, "request body: ", id="empty body"),
        pytest.param("/v1/completions", b"{}", 400, "missing required field `prompt`", id="no prompt"),
        pytest.param(
            "/v1/completions",
            b'{"model":"nope","prompt":"x"}',
            404,
            "The model `nope` does not exist.",
            id="unknown model",
        ),
        pytest.param(
            "/v1/completions", b'{"prompt":["a","b"]}', 400, "at most 1 prompt, got a list of 2", id="two prompts"
        ),
        pytest.param("/v1/completions", b'{"prompt":[4294967296]}', 400, "<= 4294967295", id="token id out of range"),
        pytest.param("/v1/completions", b'{"prompt":"x","max_tokens":0}', 400, ">= 1", id="no output asked for"),
        pytest.param(
            "/v1/completions",
            b'{"prompt":"x","max_tokens":100}',
            400,
            "maximum context length is 100 tokens",
            id="longer than the context",
        ),
        pytest.param("/v1/chat/completions", b'{"messages":[]}', 400, "length >= 1", id="no messages"),
        pytest.param("/v1/nothing", b"{}", 404, "Not Found", id="unknown path"),
        pytest.param("/v1/models", b"{}", 405, "Method Not Allowed", id="wrong method"),
        pytest.param(
            "/sim/fault", b'{"kind":"slow","factr":2}', 400, "unknown field `factr`", id="unknown fault field"
        ),
    ],
)
async def test_a_bad_request_is_refused_with_an_openai_error(
    start: Start, client: aiohttp.ClientSession, path: str, body: bytes, status: int, message: str
) -> None:
    server = await start(max_model_len=100)
    async with client.post(server.url + path, data=body) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (status, status)
    assert message in error["message"]


async def test_the_load_report_is_sent_in_the_format_asked_for(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()
    reports = []
    for wanted in ("TEXT", "JSON", "other"):
        headers = {"endpoint-load-metrics-format": wanted}
        async with client.post(f"{server.url}/v1/completions", json={"prompt": "x"}, headers=headers) as response:
            reports.append(response.headers.get("endpoint-load-metrics"))
    assert reports == [
        "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0",
        'JSON {"named_metrics":{"num_requests_waiting":0.0,"kv_cache_usage_perc":0.0}}',
        None,
    ]


async def test_resetting_the_prefix_cache_forgets_the_prompt(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()
    body = {"prompt": "x" * 400}
    await post(client, f"{server.url}/v1/completions", body)
    async with client.post(f"{server.url}/reset_prefix_cache") as response:
        assert response.status == 200
    _, again = await post(client, f"{server.url}/v1/completions", body)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_the_error_fault_answers_500_until_it_is_lifted(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(fault=Fault(kind="error"))
    status, body = await post(client, f"{server.url}/v1/completions", {"prompt": "x"})
    assert (status, body["error"]["message"]) == (500, "simulated fault: error")
    async with client.get(f"{server.url}/health") as response:
        assert response.status == 200
    assert (await post(client, f"{server.url}/sim/fault", {"kind": "none"}))[0] == 200
    assert (await post(client, f"{server.url}/v1/completions", {"prompt": "x"}))[0] == 200


async def test_a_hanging_server_accepts_and_never_answers(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(fault=Fault(kind="hang", scope="all"))
    with pytest.raises(TimeoutError):
        await client.get(f"{server.url}/health", timeout=aiohttp.ClientTimeout(total=0.05))


async def test_a_reset_cuts_the_stream_after_the_tokens_asked_for(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(fault=Fault(kind="reset", after_tokens=2), time_scale=1.0)
    received, failure = b"", None
    body = {"prompt": "x", "max_tokens": 50, "stream": True}
    async with client.post(f"{server.url}/v1/completions", json=body) as response:
        try:
            async for chunk in response.content.iter_any():
                received += chunk
        except aiohttp.ClientError as error:
            failure = error
    assert failure is not None
    assert received.count(b"data: ") <= 2
    assert b"[DONE]" not in received


async def test_a_reset_before_the_status_line_answers_nothing(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(fault=Fault(kind="reset", after_tokens=0))
    with pytest.raises(aiohttp.ClientError):
        await client.post(f"{server.url}/v1/completions", json={"prompt": "x"})


async def test_a_crash_set_at_run_time_happens_at_once(
    start: Start, client: aiohttp.ClientSession, crashes: list[str]
) -> None:
    server = await start()
    await post(client, f"{server.url}/sim/fault", {"kind": "crash"})
    assert crashes == ["crash"]


async def test_a_body_sent_byte_by_byte_is_read(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start()

    async def body() -> Any:
        for byte in b'{"prompt":"x"}':
            yield bytes([byte])

    async with client.post(f"{server.url}/v1/completions", data=body()) as response:
        assert response.status == 200


async def test_the_tokens_shown_are_those_that_the_engine_caches(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(lora_names=("a",))
    chat = {"model": "a", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    _, rendered = await post(client, f"{server.url}/v1/chat/completions/render", chat)
    _, tokenized = await post(client, f"{server.url}/tokenize", chat)
    _, answer = await post(client, f"{server.url}/v1/chat/completions", chat)
    assert rendered["token_ids"] == tokenized["tokens"]
    assert answer["usage"]["prompt_tokens"] == len(rendered["token_ids"])
    _, completions = await post(client, f"{server.url}/v1/completions/render", {"prompt": "abcd"})
    assert [prompt["token_ids"] for prompt in completions] == [[0x64636261]]


@pytest.mark.parametrize("path", ["/v1/completions/render", "/v1/chat/completions/render", "/tokenize"])
async def test_the_tokens_of_a_model_that_is_not_there_are_not_shown(
    start: Start, client: aiohttp.ClientSession, path: str
) -> None:
    server = await start()
    body = {"model": "other", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    status, answer = await post(client, f"{server.url}{path}", body)
    assert (status, answer["error"]["message"]) == (404, "The model `other` does not exist.")
