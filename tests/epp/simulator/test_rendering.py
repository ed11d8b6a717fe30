import asyncio
import json
from array import array
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from turnout.epp.simulator.openai_requests import RequestError, parse_chat, parse_completion
from turnout.epp.simulator.rendering import parse_tokenize, rendered_body, tokenized_body
from turnout.epp.simulator.server import RunningSimServer
from turnout.framework import REQUEST_BODY, CycleState, Endpoint, InferenceRequest
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT
from turnout.plugins.tokens.producer import TokenProducer, VllmRenderer

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
COMPLETION = b'{"prompt":"abcdefgh","stream":true,"stream_options":{"include_usage":true},"cache_salt":"s"}'
ABCD, EFGH = 0x64636261, 0x68676665


def test_a_rendered_completion_is_a_list_of_one_prompt() -> None:
    (rendered,) = json.loads(rendered_body(parse_completion(COMPLETION), 100))
    assert rendered["token_ids"] == [ABCD, EFGH]
    assert (rendered["stream"], rendered["cache_salt"], rendered["features"]) == (True, "s", None)
    assert rendered["stream_options"] == {"include_usage": True, "continuous_usage_stats": False}
    assert rendered["sampling_params"]["max_tokens"] == 16


def test_a_rendered_chat_is_one_prompt_with_the_markers_of_the_template() -> None:
    parsed = parse_chat(CHAT)
    rendered = json.loads(rendered_body(parsed, 1000))
    assert rendered["token_ids"] == parsed.prompt.tolist()
    assert rendered["token_ids"][0] == 0xFE000000
    assert rendered["model"] == "m"


def test_a_prompt_that_is_too_long_is_not_rendered_but_tokenized() -> None:
    parsed = parse_completion(COMPLETION)
    with pytest.raises(RequestError, match="maximum context length is 2 tokens"):
        rendered_body(parsed, 2)
    assert json.loads(tokenized_body(parsed, 2)) == {
        "count": 2,
        "max_model_len": 2,
        "tokens": [ABCD, EFGH],
        "token_strs": None,
    }


@pytest.mark.parametrize("body", [pytest.param(CHAT, id="a chat"), pytest.param(COMPLETION, id="a completion")])
def test_what_is_tokenized_is_what_is_rendered(body: bytes) -> None:
    parsed = parse_tokenize(body)
    rendered = json.loads(rendered_body(parsed, 1000))
    prompt = rendered if parsed.kind == "chat" else rendered[0]
    assert json.loads(tokenized_body(parsed, 1000))["tokens"] == prompt["token_ids"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"{}", id="neither prompt nor messages"),
        pytest.param(b'{"prompt":[1,2]}', id="token ids"),
        pytest.param(b'{"messages":[]}', id="no messages"),
    ],
)
def test_bodies_that_cannot_be_tokenized_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_tokenize(body)
    assert caught.value.status == 400


async def test_the_token_producer_can_ask_simulated_servers(
    start: Callable[..., Awaitable[RunningSimServer]],
) -> None:
    server = await start()
    endpoint = Endpoint("default/a", "127.0.0.1", server.port)
    producer = TokenProducer(vllm=VllmRenderer("", timedelta(seconds=30)))
    for path, body in (("/v1/chat/completions", CHAT.replace(b'"m"', b'"tiny"')), ("/v1/completions", COMPLETION)):
        state = CycleState()
        state.write(REQUEST_BODY, body)
        await producer.produce(InferenceRequest("r", "tiny", "tiny", path), state, (endpoint,))
        prompt = state.read(TOKENIZED_PROMPT.of(""))
        assert array("I", prompt.token_ids).tolist() == parse_tokenize(body).prompt.tolist()
    background = asyncio.create_task(producer.run())
    await asyncio.sleep(0)
    background.cancel()
    await asyncio.wait({background})
