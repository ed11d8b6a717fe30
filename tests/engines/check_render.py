"""Token ids as vLLM shows them, as it caches them, and as they are made here without it."""

import json
import shutil
from array import array
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zmq

from engines.check_kv_events import first_batch, of_vllm, received, reset_cache, zmq_socket
from engines.vllm_server import MODEL, VllmServer
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server
from turnout.framework import InferenceRequest
from turnout.plugins.tokens.body import read_body
from turnout.plugins.tokens.local import LocalTokenizer
from turnout.plugins.tokens.render import RenderClient

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
LIMIT = timedelta(seconds=30)
LONG = "The quick brown fox jumps over the lazy dog. " * 5
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"b": 2, "a": [1, null]}'}}
TOOL = {"type": "function", "function": {"parameters": {"type": "object"}, "name": "add", "x": 1}}

REQUESTS = [
    pytest.param(COMPLETIONS, {"prompt": LONG}, id="a completion"),
    pytest.param(COMPLETIONS, {"prompt": [f"a</s> <s>b{LONG}"]}, id="a completion with special tokens in its text"),
    pytest.param(COMPLETIONS, {"prompt": LONG, "add_special_tokens": False}, id="a completion without its beginning"),
    pytest.param(CHAT, {"messages": [{"role": "user", "content": LONG}]}, id="a chat"),
    pytest.param(
        CHAT,
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": LONG}, {"type": "text", "text": "b"}]},
                {"role": "user", "content": "c", "name": "d"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": LONG},
            ],
            "add_special_tokens": True,
        },
        id="a chat of several turns",
    ),
]

WITH_SPECIAL_TOKENS = (
    "{{ bos_token }}{% for m in messages %}{{ m.role + '\n' + m.content + eos_token }}\n  {% endfor %}\n"
    "{% if add_generation_prompt %}{{ bos_token + 'assistant' }}{% endif %}"
)
WITH_PARTS = (
    "{% for m in messages %}<s>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m['content'] %}[{{ p.type }}:{{ p['text'] | trim }}]{% endfor %}{% endif %}</s>{% endfor %}"
)
WITH_TOOLS = (
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% for m in messages %}<s>{{ m.role }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
    "{{ m.content }}{{ m.reasoning }}{{ m.tool_call_id }}"
    "{% if not loop.last %}</s>{% continue %}{% endif %}{% endfor %}"
    "{{ enable_thinking }}{{ reasoning_effort }}{{ other }}{{ documents }}"
)
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": " one "}, {"type": "text", "text": "two"}]},
    {"role": "assistant", "content": "three", "tool_calls": [CALL, CALL], "reasoning": "hm"},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "5"}]},
    {"role": "assistant", "tool_calls": []},
]


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimServer]:
    server = await start_sim_server(SimServerOptions(model=MODEL, port=0, time_scale=0.1))
    yield server
    await server.close()


@pytest.fixture
async def client(vllm: VllmServer) -> AsyncIterator[RenderClient]:
    opened = RenderClient(vllm.url, LIMIT, LIMIT)
    yield opened
    await opened.close()


def model_folder(vllm: VllmServer) -> Path:
    return vllm.log.parent / MODEL


def with_template(vllm: VllmServer, folder: Path, template: str) -> Path:
    """The tokenizer of the served model with another chat template."""
    copy = folder / "tokenizer"
    copy.mkdir()
    shutil.copy(model_folder(vllm) / "tokenizer.json", copy)
    config = json.loads((model_folder(vllm) / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    return copy


async def ids_of(source: RenderClient | LocalTokenizer, path: str, fields: Mapping[str, Any]) -> list[int]:
    body = read_body(path, json.dumps(fields).encode())
    prompt = await source.token_ids(body, MODEL, InferenceRequest("r"), (), 0.0)
    return array("I", prompt.token_ids).tolist()


async def answer(http: aiohttp.ClientSession, url: str, fields: Mapping[str, Any]) -> Any:
    async with http.post(url, json=fields) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def cached_ids(http: aiohttp.ClientSession, vllm: VllmServer, path: str, fields: Mapping[str, Any]) -> list[int]:
    """The tokens of the blocks that vLLM stores for a request, the last block left out as it is not full."""
    publisher = of_vllm(vllm)
    async with zmq_socket(zmq.SUB, publisher.events) as subscriber:
        subscriber.subscribe(b"")
        await first_batch(http, publisher, subscriber)
        await reset_cache(http, publisher)
        await answer(http, f"{vllm.url}{path}", {**fields, "model": MODEL, "max_tokens": 1})
        while True:
            assert await subscriber.poll(30_000), "no KV event arrived"
            events = received(await subscriber.recv_multipart()).events
            cleared = [event["type"] for event in events].count("AllBlocksCleared")
            stored = [event for event in events if event["type"] == "BlockStored"]
            if cleared and stored:
                return list(stored[-1]["token_ids"])


@pytest.mark.parametrize(("path", "fields"), REQUESTS)
async def test_rendered_tokenized_local_and_cached_ids_are_the_same(
    vllm: VllmServer, http: aiohttp.ClientSession, client: RenderClient, path: str, fields: dict[str, Any]
) -> None:
    rendered = await ids_of(client, path, fields)
    assert rendered == await ids_of(LocalTokenizer(model_folder(vllm), 1_000_000), path, fields)
    single = {**fields, "prompt": fields["prompt"][0]} if isinstance(fields.get("prompt"), list) else fields
    assert rendered == (await answer(http, f"{vllm.url}/tokenize", {**single, "model": MODEL}))["tokens"]
    cached = await cached_ids(http, vllm, path, fields)
    assert len(cached) >= 200
    assert rendered[: len(cached)] == cached


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="the turns alone"),
        pytest.param({"tools": [TOOL], "tool_choice": "none"}, id="tools"),
        pytest.param(
            {"reasoning_effort": "low", "documents": [{"title": "t", "text": "x"}]}, id="documents, reasoning"
        ),
        pytest.param(
            {"chat_template_kwargs": {"enable_thinking": False, "other": "auto"}, "add_generation_prompt": False},
            id="variables",
        ),
    ],
)
@pytest.mark.parametrize("template", [WITH_SPECIAL_TOKENS, WITH_PARTS, WITH_TOOLS])
async def test_templates_are_rendered_here_as_vllm_renders_them(
    vllm: VllmServer, client: RenderClient, tmp_path: Path, template: str, fields: dict[str, Any]
) -> None:
    local = LocalTokenizer(with_template(vllm, tmp_path, template), 1_000_000)
    chat = {"messages": TURNS, **fields}
    rendered = await ids_of(client, CHAT, {**chat, "chat_template": template})
    for _ in range(2):
        assert await ids_of(local, CHAT, chat) == rendered
    assert [finding.cause for finding in local.findings(())] == []


async def test_the_simulators_answers_have_the_fields_of_the_real_ones(
    vllm: VllmServer, simulator: RunningSimServer, http: aiohttp.ClientSession
) -> None:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
    for path, fields in (
        (f"{CHAT}/render", chat),
        (f"{COMPLETIONS}/render", {"model": MODEL, "prompt": "hello", "max_tokens": 3, "stream": True}),
        ("/tokenize", chat),
    ):
        real, simulated = [await answer(http, f"{url}{path}", fields) for url in (vllm.url, simulator.url)]
        assert shape(simulated) == shape(real)


def shape(value: object, name: str = "") -> object:
    """The names of fields in their order, and the types of what they hold; of a list that of its elements."""
    if isinstance(value, dict):
        return {key: shape(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__
