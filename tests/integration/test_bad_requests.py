"""Requests with something wrong or unusual about them, through a real Envoy."""

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio

from integration.gateways import CHAT, Body, Mode, World, chat, world
from integration.model_servers import ModelServer, model_servers
from integration.raw_http import connection, post_with_trailers, read_answer, send_without_end

# Requests leave nothing behind, which is what these tests are about, so all of them use one gateway for each mode.
pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

MIB = 1024 * 1024
JSON = [("content-type", "application/json")]


Started = tuple[World, list[ModelServer]]


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param(Mode.BUFFERED, id="buffered"), pytest.param(Mode.FULL_DUPLEX, id="full duplex")],
)
async def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Started]:
    folder = tmp_path_factory.mktemp("gateway")
    async with (
        model_servers("a", "b", "c", "d") as servers,
        world(request.param, folder, [server.url for server in servers]) as running,
    ):
        yield running, servers


@pytest.fixture
def running(started: Started) -> World:
    return started[0]


@pytest.fixture
def servers(started: Started) -> list[ModelServer]:
    """The model servers, with nothing received yet."""
    for server in started[1]:
        server.received.clear()
    return started[1]


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def received(servers: Sequence[ModelServer]) -> list[str]:
    return [f"{request.method} {request.path}" for server in servers for request in server.received]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(lambda: b'{"model": "m",', "BadRequest - error unmarshaling request bodyMap", id="JSON cut short"),
        pytest.param(lambda: b"\xff\xfe\x00", "BadRequest - error unmarshaling request bodyMap", id="not text"),
        pytest.param(lambda: b"[" * 100_000, "BadRequest - error unmarshaling request bodyMap", id="deep nesting"),
        pytest.param(lambda: b"[]", "BadRequest - error unmarshaling request bodyMap", id="not an object"),
        pytest.param(lambda: b'{"messages":[{"role":"user","content":"x"}]}', "model not found", id="no model"),
        pytest.param(lambda: b'{"model":"m"}', "must have valid messages field", id="no messages"),
        pytest.param(lambda: b'{"model":7,"messages":[1]}', "request bodyMap", id="model of another type"),
        pytest.param(lambda: pieces(b"", 1), "request bodyMap", id="chunked and empty"),
        pytest.param(lambda: pieces(b'{"model": "m",', 1), "request bodyMap", id="JSON cut short, in 1-byte chunks"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_and_reaches_nobody(
    running: World, servers: list[ModelServer], body: Callable[[], Body], message: str
) -> None:
    answer = await running.gateway.send("POST", CHAT, body(), JSON)
    assert answer.status == 400
    assert message in str(answer.error["message"])
    assert answer.error["type"] == "invalid_request_error"
    assert "x-llm-d-request-dropped-reason" not in answer.headers
    assert received(servers) == []
    await running.gateway.still_serves()


async def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(
    running: World, servers: list[ModelServer]
) -> None:
    async with connection(running.gateway.port) as (reader, writer):
        writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {40 * MIB}\r\n\r\n".encode())
        answer = await read_answer(reader)
    assert answer.status == 413
    assert b"the request body is larger than 33554432 bytes" in answer.body
    assert "\r\ncontent-type: application/json\r\n" in answer.head
    assert received(servers) == []
    await running.gateway.still_serves()


async def test_a_body_of_40_mib_is_refused(running: World, servers: list[ModelServer]) -> None:
    answer = await running.gateway.send("POST", CHAT, chat("x" * (40 * MIB)), JSON)
    assert (answer.status, answer.error["type"]) == (413, "invalid_request_error")
    assert received(servers) == []
    await running.gateway.still_serves()


async def test_a_body_without_end_is_refused_at_the_limit(running: World, servers: list[ModelServer]) -> None:
    answer, sent = await send_without_end(running.gateway.port, CHAT)
    assert answer.status == 413
    # The limit, and what the sockets and the HTTP/2 window between Envoy and the picker hold.
    assert sent < 64 * MIB
    assert received(servers) == []
    await running.gateway.still_serves()


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param(lambda: chat("x" * (31 * MIB)), 31 * MIB + 92, id="31 MiB at once"),
        pytest.param(lambda: pieces(chat("x" * (4 * MIB)), 100_000), 4 * MIB + 92, id="4 MiB chunked"),
        pytest.param(lambda: pieces(chat("x" * 500), 1), 592, id="1-byte chunks"),
    ],
)
async def test_a_body_arrives_unchanged_however_it_is_sent(
    running: World, servers: list[ModelServer], body: Callable[[], Body], length: int
) -> None:
    answer = await running.gateway.send("POST", CHAT, body(), JSON)
    assert (answer.status, answer.json["length"]) == (200, length)
    [request] = [request for server in servers for request in server.received]
    assert request.body == chat("x" * (length - 92))
    await running.pages.settled()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "/v1/models", None, id="GET"),
        pytest.param("HEAD", "/v1/models", None, id="HEAD"),
        pytest.param("OPTIONS", "/v1/models", None, id="OPTIONS"),
        pytest.param("DELETE", "/v1/files/3", None, id="DELETE"),
        pytest.param("POST", CHAT, b"", id="POST with content-length 0"),
        pytest.param("POST", "/tokenize?n=1", b'{"prompt": "x"}', id="a path that no parser claims"),
        pytest.param("PUT", "/v1/files/3", b"\x00\xff\xfe", id="a body that is not text, on such a path"),
        pytest.param("POST", "/" + "x" * 8000, b"x", id="a long path"),
    ],
)
async def test_what_no_parser_reads_is_passed_to_an_endpoint_as_it_is(
    running: World, servers: list[ModelServer], method: str, path: str, body: bytes | None
) -> None:
    answer = await running.gateway.send(method, path, body)
    assert answer.status == 200
    [(server, request)] = [(server, request) for server in servers for request in server.received]
    assert answer.served == server.name
    assert (request.method, request.path, request.body) == (method, path, body or b"")
    assert request.all("x-gateway-destination-endpoint")[0].split(",")[0] == str(server.address)
    await running.gateway.still_serves()


async def test_trailers_of_a_request_are_answered(running: World, servers: list[ModelServer]) -> None:
    succeeded, body = await post_with_trailers(running.gateway.port, CHAT, chat("x"), {"x-checksum": "7"})
    assert succeeded, body
    [(server, reached)] = [(server, reached) for server in servers for reached in server.received]
    assert reached.body == chat("x")
    assert b'"served":"%s"' % server.name.encode() in body
    await running.gateway.still_serves()


async def test_a_body_without_data_but_with_trailers_is_routed_by_its_headers(running: World) -> None:
    succeeded, body = await post_with_trailers(running.gateway.port, "/v1/files", b"", {"x-checksum": "7"})
    assert succeeded, body
    await running.gateway.still_serves()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"content-length: 5000\r\n\r\n" + b"{" * 100, id="in the middle of a body"),
        pytest.param(b"transfer-encoding: chunked\r\n\r\n5\r\nabc", id="in the middle of a chunk"),
        pytest.param(b"content-length: 5000\r\n\r\n", id="before the body"),
    ],
)
async def test_a_client_that_goes_away_while_sending_leaves_nothing_behind(
    running: World, servers: list[ModelServer], start: bytes
) -> None:
    async with connection(running.gateway.port) as (_, writer):
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + start)
        await writer.drain()
    await running.gateway.still_serves()
    # The check that it still serves.
    assert received(servers) == ["POST /v1/chat/completions"]


async def test_what_is_not_http_is_answered_or_dropped_by_envoy(running: World) -> None:
    async with connection(running.gateway.port) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        # In full duplex Envoy would show its answer to the picker and closes the connection before it can.
        assert (await reader.read(100))[:12] in (b"HTTP/1.1 400", b"")
    await running.gateway.still_serves()


async def test_a_model_rewrite_that_is_not_utf_8_is_refused(running: World, servers: list[ModelServer]) -> None:
    async with connection(running.gateway.port) as (reader, writer):
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-llm-d-model-name-rewrite: \xff\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(chat()), chat()))
        answer = await read_answer(reader)
    assert (answer.status, received(servers)) == (400, [])
    assert b"the header x-llm-d-model-name-rewrite is not UTF-8" in answer.body
    await running.gateway.still_serves()


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param(CHAT, '"max_tokens": 16.0,', id="a whole number written as a fraction"),
        pytest.param(CHAT, '"max_tokens": "16", "stream": "false",', id="numbers and booleans as text"),
        pytest.param(CHAT, '"max_tokens": -1,', id="a number that only the engine refuses"),
        pytest.param(CHAT + "/", "", id="a path with a slash at its end"),
    ],
)
async def test_what_an_engine_may_accept_is_left_to_it(running: World, path: str, more: str) -> None:
    body = b"{%s%s" % (more.encode(), chat()[1:])
    assert (await running.gateway.send("POST", path, body, JSON)).status == 200
    await running.pages.settled()
