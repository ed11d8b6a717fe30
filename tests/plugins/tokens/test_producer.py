import asyncio
import json
from array import array
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import produce
from plugins.http_servers import saying, serving
from turnout.framework import REQUEST_BODY, CycleState, InferenceRequest, PluginName, Reading
from turnout.framework.testing import check_producer, make_endpoint, make_request
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT, TokenizedPrompt
from turnout.plugins.tokens.producer import NOTHING_CONFIGURED, TokenizerFiles, TokenProducer, VllmRenderer

POOL = [make_endpoint("a")]
CHAT = make_request()
COMPLETION = InferenceRequest("r", "m", "m", "/v1/completions")
HELLO = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
RENDERED = b'{"token_ids":[1,2]}'


def with_body(content: bytes | None, now: float = 0.0) -> CycleState:
    state = CycleState(now)
    if content is not None:
        state.write(REQUEST_BODY, content)
    return state


def published(producer: TokenProducer, request: InferenceRequest, content: bytes | None) -> TokenizedPrompt:
    return produce(producer, request, with_body(content), POOL).read(TOKENIZED_PROMPT.of(""))


async def awaited(producer: TokenProducer, content: bytes = HELLO, now: float = 0.0) -> TokenizedPrompt:
    state = with_body(content, now)
    await producer.produce(CHAT, state, POOL)
    return state.read(TOKENIZED_PROMPT.of(""))


def outcomes(producer: TokenProducer) -> dict[str, float]:
    return {
        reading.labels["outcome"]: counted(reading)
        for reading in producer.readings()
        if reading.name == "token_producer_requests_total" and counted(reading)
    }


def counted(reading: Reading) -> float:
    value = getattr(reading, "value", None)
    assert isinstance(value, int | float)
    return value


def test_token_ids_of_the_client_need_no_source() -> None:
    producer = TokenProducer()
    assert published(producer, COMPLETION, b'{"prompt":[1,2,3]}') == TokenizedPrompt(array("I", [1, 2, 3]).tobytes())
    assert published(producer, COMPLETION, b'{"prompt":[[4]]}') == TokenizedPrompt(array("I", [4]).tobytes())
    assert outcomes(producer) == {"given": 2}
    assert producer.diagnose(POOL, 0.0).findings == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(HELLO, NOTHING_CONFIGURED, id="a text without a source"),
        pytest.param(None, "the request has no body, or only a part of it is known", id="no body"),
        pytest.param(b"{}", "the request has no prompt in text or token ids", id="no prompt"),
        pytest.param(b"{", "the body cannot be read: Input data was truncated", id="no JSON"),
    ],
)
def test_what_has_no_token_ids_says_why(content: bytes | None, problem: str) -> None:
    assert published(TokenProducer(), CHAT, content) == TokenizedPrompt(problem=problem)


def test_a_missing_source_is_reported_once_it_was_missed() -> None:
    producer = TokenProducer()
    assert producer.diagnose(POOL, 0.0).findings == ()
    published(producer, CHAT, HELLO)
    (finding,) = producer.diagnose(POOL, 0.0).findings
    assert (finding.cause, finding.message, finding.endpoint) == ("no-token-ids", NOTHING_CONFIGURED, "")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param("token-producer", "token-producer", id="the default name"),
        pytest.param("tokenizer", "token-producer", id="the deprecated name of the type"),
        pytest.param("mine", "mine", id="a name of one's own"),
    ],
)
def test_the_ids_are_published_under_the_plugin_s_name(name: str, key: str) -> None:
    state = produce(TokenProducer(name=PluginName(name)), CHAT, with_body(HELLO), POOL)
    assert TOKENIZED_PROMPT.of(key) in state


async def test_a_server_is_asked_for_the_target_model_unless_another_is_named() -> None:
    async with serving(saying(RENDERED)) as server:
        for model_name, expected in (("", "m"), ("base", "base")):
            producer = TokenProducer(model_name, VllmRenderer(server.url))
            assert await awaited(producer) == TokenizedPrompt(array("I", [1, 2]).tobytes())
            assert json.loads(server.asked[-1][1])["model"] == expected
            await closed(producer)


async def closed(producer: TokenProducer) -> None:
    """Ends the plugin's background work, as a server that stops does."""
    task = asyncio.create_task(producer.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})


async def test_equal_bodies_are_asked_about_once_in_ten_minutes() -> None:
    async with serving(saying(RENDERED)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url))
        first = await awaited(producer)
        assert await awaited(producer, HELLO.replace(b"}]", b'}],"temperature":0'), now=599.0) == first
        assert (len(server.asked), outcomes(producer)) == (1, {"tokenized": 1, "cached": 1})
        assert await awaited(producer, now=600.0) == first
        assert len(server.asked) == 2
        await closed(producer)


async def test_a_prompt_with_an_image_on_the_web_is_asked_about_each_time() -> None:
    content = json.dumps(
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]}]}
    ).encode()
    async with serving(saying(RENDERED)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url))
        for _ in range(2):
            await awaited(producer, content)
        assert len(server.asked) == 2
        await closed(producer)


async def test_without_room_in_the_cache_nothing_is_kept() -> None:
    async with serving(saying(RENDERED)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url), cache_bytes=0)
        for _ in range(2):
            await awaited(producer)
        assert len(server.asked) == 2
        await closed(producer)


async def test_a_server_that_fails_costs_the_ids_and_is_counted_and_reported() -> None:
    async with serving(saying(b"", 500)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url))
        prompts = [await awaited(producer) for _ in range(4)]
        assert [prompt.token_ids for prompt in prompts] == [b""] * 4
        assert prompts[-1].problem == f"{server.url} failed to give token ids lately"
        assert outcomes(producer) == {"failed": 3, "skipped": 1}
        assert [finding.cause for finding in producer.diagnose(POOL, 0.0).findings] == ["no-token-ids"]
        await closed(producer)


async def test_a_source_that_is_of_no_use_for_twenty_prompts_is_reported_until_it_is_of_use() -> None:
    async with serving(saying(b"no such model", 404)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url))
        for _ in range(19):
            await awaited(producer)
        assert producer.diagnose(POOL, 0.0).findings == ()
        await awaited(producer)
        (finding,) = producer.diagnose(POOL, 0.0).findings
        assert (finding.cause, finding.message) == (
            "no-token-ids",
            (
                "none of the last 20 prompts has token ids; the last one: "
                f"no token ids from {server.url}: it answered 404: no such model"
            ),
        )
        server.answer = saying(RENDERED)
        await awaited(producer)
        assert producer.diagnose(POOL, 0.0).findings == ()
        await closed(producer)


async def test_the_background_work_ends_with_the_connections_closed_and_may_begin_again() -> None:
    async with serving(saying(RENDERED)) as server:
        producer = TokenProducer(vllm=VllmRenderer(server.url))
        await closed(producer)
        assert (await awaited(producer)).problem.endswith("the picker no longer uses this configuration")
        task = asyncio.create_task(producer.run())
        await asyncio.sleep(0)
        assert len(await awaited(producer)) == 2
        task.cancel()
        await asyncio.wait({task})


async def test_without_a_source_there_is_no_background_work() -> None:
    await TokenProducer().run()


@pytest.mark.parametrize(
    ("vllm", "seconds"),
    [
        pytest.param(VllmRenderer(), 31.0, id="the defaults"),
        pytest.param(VllmRenderer("", timedelta(seconds=40)), 41.0, id="a longer one for texts"),
    ],
)
def test_the_producer_may_take_as_long_as_its_server(vllm: VllmRenderer, seconds: float) -> None:
    assert TokenProducer(vllm=vllm).time_limit_seconds == seconds


def test_two_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="vllm and tokenizer must not both be given"):
        TokenProducer(vllm=VllmRenderer(), tokenizer=TokenizerFiles("x"))


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="cache_bytes must be at least 0, got -1"):
        TokenProducer(cache_bytes=-1)


@pytest.mark.parametrize(
    ("url", "timeout", "mm_timeout", "problem"),
    [
        pytest.param("localhost:8000", 1, 1, "url must begin with http:// or https:// or be empty", id="no scheme"),
        pytest.param("", 0, 1, "timeout must be above 0, got 0:00:00", id="no time"),
        pytest.param("", 1, -1, "mm_timeout must be above 0, got -1 day, 23:59:59", id="negative time"),
    ],
)
def test_a_server_that_cannot_be_asked_is_refused(url: str, timeout: int, mm_timeout: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        VllmRenderer(url, timedelta(seconds=timeout), timedelta(seconds=mm_timeout))


@given(
    st.one_of(st.none(), st.binary(), st.just(HELLO), st.just(b'{"prompt":[1]}')), st.sampled_from([CHAT, COMPLETION])
)
def test_something_is_always_published(content: bytes | None, request: InferenceRequest) -> None:
    state = check_producer(TokenProducer(), request, with_body(content), POOL)
    prompt = state.read(TOKENIZED_PROMPT.of(""))
    assert bool(prompt.token_ids) != bool(prompt.problem)
