import asyncio
import gzip
import json
from array import array
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from plugins.http_servers import Server, saying, serving
from turnout.framework import Endpoint, GaugeReading, InferenceRequest
from turnout.framework.testing import make_request
from turnout.plugins.tokens import render
from turnout.plugins.tokens.body import read_body
from turnout.plugins.tokens.keys import MultimodalContent, TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError
from turnout.plugins.tokens.render import RenderClient

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HELLO = {"model": "alias", "messages": [{"role": "user", "content": "hello"}], "stream": True}
IMAGE = {
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}]}]
}
ONE_TWO = array("I", [1, 2]).tobytes()
RENDERED_CHAT = b'{"token_ids":[1,2],"features":null}'
RENDERED_COMPLETION = b'[{"token_ids":[1,2],"features":null}]'
TOKENIZED = b'{"count":2,"max_model_len":10,"tokens":[1,2],"token_strs":null}'
LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=50)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(saying(RENDERED_CHAT)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[RenderClient]:
    opened = RenderClient(server.url, LONG, LONG)
    yield opened
    await opened.close()


async def ask(
    client: RenderClient,
    fields: dict[str, Any],
    path: str = CHAT,
    *,
    now: float = 0.0,
    endpoints: tuple[Endpoint, ...] = (),
    request: InferenceRequest | None = None,
) -> TokenizedPrompt:
    body = read_body(path, json.dumps(fields).encode())
    return await client.token_ids(body, "m", request or make_request(), endpoints, now)


async def problem(client: RenderClient, fields: dict[str, Any] = HELLO, path: str = CHAT, now: float = 0.0) -> str:
    """The kind of problem and its text."""
    with pytest.raises(NoTokenIdsError) as caught:
        await ask(client, fields, path, now=now)
    return f"{caught.value.reason}: {caught.value}"


def without_rendering(then: bytes, status: int = 403) -> Any:
    """A vLLM that was started without its render endpoints."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/tokenize":
            return web.Response(body=then)
        return web.Response(status=status, body=b'{"error":{"message":"disabled"}}')

    return answer


async def test_a_chat_is_sent_whole_with_the_model_that_the_server_knows(client: RenderClient, server: Server) -> None:
    assert await ask(client, HELLO) == TokenizedPrompt(ONE_TWO)
    ((path, content),) = server.asked
    assert (path, json.loads(content)) == ("/v1/chat/completions/render", {**HELLO, "model": "m"})


async def test_a_completion_is_rendered_by_its_own_endpoint(client: RenderClient, server: Server) -> None:
    server.answer = saying(RENDERED_COMPLETION)
    assert await ask(client, {"prompt": "hello"}, COMPLETIONS) == TokenizedPrompt(ONE_TWO)
    assert server.asked[0][0] == "/v1/completions/render"


async def test_contents_are_named_and_their_tensors_not_asked_for(client: RenderClient, server: Server) -> None:
    features = {"mm_hashes": {"image": ["aa"]}, "mm_placeholders": {"image": [{"offset": 0, "length": 2}]}}
    server.answer = saying(json.dumps({"token_ids": [1, 2], "features": features}).encode())
    assert (await ask(client, IMAGE)).multimodal == (MultimodalContent("aa", 0, 2),)
    assert json.loads(server.asked[0][1])["mm_payload"] == "none"


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_a_server_that_does_not_render_is_asked_to_tokenize(
    client: RenderClient, server: Server, status: int
) -> None:
    server.answer = without_rendering(TOKENIZED, status)
    chat = {**HELLO, "tools": [], "temperature": 0, "add_generation_prompt": False}
    assert await ask(client, chat) == TokenizedPrompt(ONE_TWO)
    assert await ask(client, {"prompt": ["hello"], "max_tokens": 3}, COMPLETIONS) == TokenizedPrompt(ONE_TWO)
    assert [path for path, _ in server.asked] == ["/v1/chat/completions/render", "/tokenize", "/tokenize"]
    kept = {"messages": HELLO["messages"], "tools": [], "add_generation_prompt": False}
    assert [json.loads(content) for _, content in server.asked[1:]] == [
        {**kept, "model": "m"},
        {"prompt": "hello", "model": "m"},
    ]


async def test_rendering_is_tried_again_after_ten_minutes(client: RenderClient, server: Server) -> None:
    server.answer = without_rendering(TOKENIZED)
    await ask(client, HELLO, now=100.0)
    server.answer = saying(RENDERED_CHAT)
    assert (await problem(client, now=699.0)).startswith("failed")
    assert await ask(client, HELLO, now=700.0) == TokenizedPrompt(ONE_TWO)


@pytest.mark.parametrize(
    ("fields", "path", "text"),
    [
        pytest.param({**HELLO, "reasoning_effort": "low"}, CHAT, "reasoning_effort", id="a chat with more parameters"),
        pytest.param({"prompt": "x", "truncate_prompt_tokens": 1}, COMPLETIONS, "truncate_prompt_tokens", id="a cut"),
        pytest.param(IMAGE, CHAT, "images, videos or sound", id="an image"),
        pytest.param({"prompt": ["a", "b"]}, COMPLETIONS, "the request holds 2 prompts", id="two prompts"),
    ],
)
async def test_what_tokenize_would_get_wrong_is_a_problem(
    client: RenderClient, server: Server, fields: dict[str, Any], path: str, text: str
) -> None:
    server.answer = without_rendering(TOKENIZED)
    found = await problem(client, fields, path)
    assert found.startswith("unsupported: ")
    assert text in found


async def stall(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def stall_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"token_ids":[')
    return await stall(request)


@pytest.mark.parametrize("answer", [stall, stall_in_the_middle])
@pytest.mark.parametrize(
    ("timeouts", "fields"),
    [pytest.param((SHORT, LONG), HELLO, id="a text"), pytest.param((LONG, SHORT), IMAGE, id="an image")],
)
async def test_a_server_that_does_not_answer_costs_its_time_limit(
    server: Server, answer: Any, timeouts: tuple[timedelta, timedelta], fields: dict[str, Any]
) -> None:
    server.answer = answer
    client = RenderClient(server.url, *timeouts)
    assert await problem(client, fields) == (
        f"timeout: no token ids from {server.url}: it did not answer within 0.05 s"
    )
    await client.close()


async def abort(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def abort_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"token_ids":[')
    assert request.transport is not None
    request.transport.abort()
    return response


async def zeros(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(100):
        await response.write(b"0" * 1000)
    return response


async def compressed_zeros(request: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(saying(b"oh no", 500), "it answered 500: oh no", id="an error of the server"),
        pytest.param(saying(b"busy", 429), "it answered 429: busy", id="too many requests"),
        pytest.param(saying(b"", 204), "it answered 204: ", id="no content"),
        pytest.param(saying(b"", 302), "it answered 302: ", id="a redirection"),
        pytest.param(saying(b"<html>"), "its answer is not in the format", id="a page"),
        pytest.param(saying(b'{"token_ids":"12"}'), "its answer is not in the format", id="wrong types"),
        pytest.param(abort, "ServerDisconnectedError", id="a connection that is cut"),
        pytest.param(abort_in_the_middle, "ClientPayloadError", id="an answer that is cut"),
        pytest.param(zeros, "its answer is longer than 50000 bytes", id="an endless answer"),
        pytest.param(compressed_zeros, "its answer is longer than 50000 bytes", id="an answer that grows"),
    ],
)
async def test_a_server_that_answers_badly_is_a_failure(
    client: RenderClient, server: Server, monkeypatch: pytest.MonkeyPatch, answer: Any, text: str
) -> None:
    monkeypatch.setattr(render, "MAX_ANSWER_BYTES", 50_000)
    server.answer = answer
    found = await problem(client)
    assert found.startswith(f"failed: no token ids from {server.url}: ")
    assert text in found


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_a_request_that_is_refused_says_nothing_about_the_server(
    client: RenderClient, server: Server, status: int
) -> None:
    server.answer = saying(b'{"error":{"message":"too long"}}', status)
    for _ in range(10):
        assert await problem(client) == (
            f'refused: no token ids from {server.url}: it answered {status}: {{"error":{{"message":"too long"}}}}'
        )
    assert client.findings(()) == []


async def test_a_server_that_fails_three_times_is_left_alone_for_five_seconds(
    client: RenderClient, server: Server
) -> None:
    server.answer = saying(b"", 500)
    for _ in range(3):
        assert (await problem(client, now=10.0)).startswith("failed")
    found = await problem(client, now=14.9)
    assert found == f"skipped: {server.url} failed to give token ids lately"
    assert len(server.asked) == 3
    assert [finding.cause for finding in client.findings(())] == ["no-token-ids"]
    assert list(client.readings()) == [
        GaugeReading("token_producer_failing_servers", "Servers that lately gave no token ids.", 1)
    ]
    server.answer = saying(RENDERED_CHAT)
    assert await ask(client, HELLO, now=15.0) == TokenizedPrompt(ONE_TWO)
    assert await ask(client, HELLO, now=15.0) == TokenizedPrompt(ONE_TWO)
    assert client.findings(()) == []


async def test_the_time_that_was_waited_is_no_part_of_the_pause(server: Server) -> None:
    server.answer = stall
    client = RenderClient(server.url, SHORT, SHORT)
    for _ in range(3):
        await problem(client, now=10.0)
    server.answer = saying(RENDERED_CHAT)
    assert (await problem(client, now=15.04)).startswith("skipped")
    assert await ask(client, HELLO, now=15.06) == TokenizedPrompt(ONE_TWO)
    await client.close()


async def test_without_an_address_the_candidates_are_asked_in_turn() -> None:
    async with serving(saying(RENDERED_CHAT)) as one, serving(saying(RENDERED_CHAT)) as other:
        client = RenderClient("", LONG, LONG)
        for _ in range(6):
            await ask(client, HELLO, endpoints=(one.endpoint, other.endpoint))
        assert (len(one.asked), len(other.asked)) == (3, 3)
        await client.close()


async def test_a_candidate_that_fails_is_passed_over_and_named_while_it_is_in_the_pool() -> None:
    async with serving(saying(b"", 500)) as bad, serving(saying(RENDERED_CHAT)) as good:
        client = RenderClient("", LONG, LONG)
        pool = (bad.endpoint, good.endpoint)
        answers = await asyncio.gather(*[ask(client, HELLO, endpoints=pool) for _ in range(6)], return_exceptions=True)
        assert sum(isinstance(answer, NoTokenIdsError) for answer in answers) == 3
        for _ in range(4):
            assert await ask(client, HELLO, endpoints=pool) == TokenizedPrompt(ONE_TWO)
        assert (len(bad.asked), len(good.asked)) == (3, 7)
        assert [finding.endpoint for finding in client.findings(pool)] == [bad.endpoint.name]
        assert client.findings((good.endpoint,)) == []
        await client.close()


async def test_without_any_candidate_there_is_nobody_to_ask() -> None:
    client = RenderClient("", LONG, LONG)
    assert await problem(client) == "skipped: every candidate failed to give token ids lately"


async def test_credentials_are_shown_to_candidates_only(client: RenderClient, server: Server) -> None:
    request = make_request(headers={"authorization": "Bearer secret"})
    await ask(client, HELLO, request=request)
    own = RenderClient("", LONG, LONG)
    await ask(own, HELLO, request=request, endpoints=(server.endpoint,))
    assert [headers.get("Authorization") for headers in server.headers] == [None, "Bearer secret"]
    await own.close()


async def test_a_header_that_cannot_be_sent_is_the_request_s_fault(server: Server) -> None:
    client = RenderClient("", LONG, LONG)
    request = make_request(headers={"authorization": "a\r\nb: c"})
    for _ in range(4):
        with pytest.raises(NoTokenIdsError) as caught:
            await ask(client, HELLO, request=request, endpoints=(server.endpoint,))
        assert caught.value.reason == "refused"
    await client.close()


async def test_a_connection_that_the_server_closed_meanwhile_costs_nothing(
    client: RenderClient, server: Server
) -> None:
    cut = [True]

    async def cut_once(request: web.Request) -> web.StreamResponse:
        if cut:
            cut.pop()
            return await abort(request)
        return web.Response(body=RENDERED_CHAT)

    server.answer = cut_once
    assert await ask(client, HELLO) == TokenizedPrompt(ONE_TWO)


async def test_a_closed_client_sends_nothing_until_it_is_opened_again(client: RenderClient, server: Server) -> None:
    await ask(client, HELLO)
    await client.close()
    assert (await problem(client)).startswith("skipped: ")
    assert len(server.asked) == 1
    client.reopen()
    assert await ask(client, HELLO) == TokenizedPrompt(ONE_TWO)


async def test_no_more_servers_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(render, "MAX_SERVERS", 2)
    client = RenderClient("", LONG, LONG)
    for port in (1, 2, 3):
        with pytest.raises(NoTokenIdsError, match="ClientConnectorError"):
            await ask(client, HELLO, endpoints=(Endpoint(f"default/{port}", "127.0.0.1", port),))
    assert len(client._servers) == 2
    await client.close()
