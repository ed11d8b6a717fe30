"""Asks vLLM over HTTP which token ids a request has."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import msgspec

from turnout.framework import Endpoint, Finding, GaugeReading, InferenceRequest, Reading
from turnout.plugins.circuit_breaker import CircuitBreaker
from turnout.plugins.tokens.answers import rendered, tokenized
from turnout.plugins.tokens.body import PromptBody, shortened
from turnout.plugins.tokens.keys import TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError, Reason

MAX_ANSWER_BYTES = 32 * 2**20
"""Of one answer, after decompression: the ids of four million tokens."""

MAX_SERVERS = 4096
"""Servers whose state is remembered; the one asked least recently is forgotten first."""

RETRY_RENDER_AFTER_SECONDS = 600.0
"""A server that refused to render is asked again after this time: it may have been restarted with the feature."""

MAX_CONNECTIONS = 64

_PATHS = {"chat": "/v1/chat/completions/render", "completions": "/v1/completions/render"}
_TOKENIZE = "/tokenize"
# What /tokenize reads of a request.
_TOKENIZE_FIELDS = frozenset(
    (
        "add_generation_prompt",
        "add_special_tokens",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "media_io_kwargs",
        "messages",
        "mm_processor_kwargs",
        "prompt",
        "tools",
    )
)
# What changes the tokens of a request and /tokenize does not know.
_BEYOND_TOKENIZE = frozenset(("documents", "kv_transfer_params", "reasoning_effort", "truncate_prompt_tokens"))
_MAX_REFUSAL_BYTES = 4096
_NOT_THERE = (403, 404, 405, 501)
# The request is at fault, not the server.
_REFUSALS = (400, 401, 403, 404, 409, 413, 415, 422)
# Less than the 5 s after which vLLM closes an idle connection.
_KEEP_ALIVE_SECONDS = 3.0


@dataclass(slots=True)
class _Server:
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    tokenize_until: float = 0.0
    last_problem: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes


class RenderClient:
    """Token ids from vLLM's render endpoints, or from its ``/tokenize`` where rendering is switched off.

    ``url`` is the server without a path; when it is empty, each request asks one of its own candidate endpoints, in
    turn. A server that keeps failing is left alone for a while. Requests with images, videos or sound have
    ``mm_timeout`` in place of ``timeout``. Connections are opened when they are first needed and belong to the
    running event loop, until ``close``.
    """

    def __init__(self, url: str, timeout: timedelta, mm_timeout: timedelta) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout.total_seconds()
        self._mm_timeout = mm_timeout.total_seconds()
        self._servers: OrderedDict[str, _Server] = OrderedDict()
        self._turn = 0
        self._latest = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def token_ids(
        self, body: PromptBody, model: str, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float
    ) -> TokenizedPrompt:
        """The prompt of the request, as the server tokenizes it for the model.

        Raises:
            NoTokenIdsError: the server has none, or is not asked because it failed lately.
        """
        self._latest = max(self._latest, now)
        url, server = self._choose(endpoints, now)
        limit = self._mm_timeout if body.has_media else self._timeout
        try:
            async with asyncio.timeout(limit):
                prompt = await self._ask(url, server, body, model, self._headers(request), now)
        except NoTokenIdsError as error:
            raise self._noted(server, url, error, now) from None
        except TimeoutError:
            late = NoTokenIdsError("timeout", f"it did not answer within {limit:g} s")
            raise self._noted(server, url, late, now, limit) from None
        except (aiohttp.ClientError, OSError) as error:
            problem = NoTokenIdsError("failed", shortened(f"{type(error).__name__}: {error}"))
            raise self._noted(server, url, problem, now) from None
        except ValueError as error:
            raise NoTokenIdsError("refused", f"the request cannot be passed on: {error}") from None
        server.breaker.succeeded()
        return prompt

    def findings(self, endpoints: Sequence[Endpoint]) -> list[Finding]:
        """The servers that are left alone at present."""
        names = {f"http://{endpoint.host_port}": endpoint.name for endpoint in endpoints}
        names |= {self._url: ""}
        return [
            Finding("no-token-ids", f"no token ids from {url}: {server.last_problem}", names[url])
            for url, server in self._servers.items()
            if server.breaker.is_open and url in names
        ]

    def readings(self) -> Iterable[Reading]:
        """How many servers are left alone."""
        failing = sum(server.breaker.is_open for server in self._servers.values())
        yield GaugeReading("token_producer_failing_servers", "Servers that lately gave no token ids.", failing)

    async def close(self) -> None:
        """Closes the connections; until ``reopen`` no request is sent."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def reopen(self) -> None:
        """Ends the effect of ``close``."""
        self._is_closed = False

    def _choose(self, endpoints: Sequence[Endpoint], now: float) -> tuple[str, _Server]:
        urls = [self._url] if self._url else self._in_turn(endpoints)
        for url in urls:
            server = self._server(url)
            if server.breaker.allows(now):
                return url, server
        raise NoTokenIdsError("skipped", f"{self._url or 'every candidate'} failed to give token ids lately")

    def _in_turn(self, endpoints: Sequence[Endpoint]) -> list[str]:
        self._turn += 1
        first = self._turn % len(endpoints) if endpoints else 0
        return [f"http://{endpoint.host_port}" for endpoint in (*endpoints[first:], *endpoints[:first])]

    def _server(self, url: str) -> _Server:
        server = self._servers.get(url)
        if server is None:
            server = self._servers[url] = _Server()
            if len(self._servers) > MAX_SERVERS:
                self._servers.popitem(last=False)
        self._servers.move_to_end(url)
        return server

    def _noted(
        self, server: _Server, url: str, error: NoTokenIdsError, began_at: float, took: float = 0.0
    ) -> NoTokenIdsError:
        """Counts what went wrong against the server, unless it is the request's fault alone."""
        server.last_problem = str(error)
        if error.reason in ("failed", "timeout"):
            # The request's own time stands still while it waits; others may have been later.
            server.breaker.failed(began_at, max(self._latest, began_at + took))
        return NoTokenIdsError(error.reason, f"no token ids from {url}: {error}")

    def _headers(self, request: InferenceRequest) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        credentials = request.headers.get("authorization")
        # A candidate gets to see them anyway, another server must not.
        return headers if self._url or credentials is None else {**headers, "Authorization": credentials}

    async def _ask(
        self, url: str, server: _Server, body: PromptBody, model: str, headers: Mapping[str, str], now: float
    ) -> TokenizedPrompt:
        if now < server.tokenize_until:
            return await self._tokenize(url, body, model, headers)
        answer = await self._post(url + _PATHS[body.kind], _render_body(body, model), headers)
        if answer.status == 200:
            return rendered(body.kind, answer.content)
        if answer.status not in _NOT_THERE:
            raise _problem_of(answer)
        prompt = await self._tokenize(url, body, model, headers)
        server.tokenize_until = now + RETRY_RENDER_AFTER_SECONDS
        return prompt

    async def _tokenize(self, url: str, body: PromptBody, model: str, headers: Mapping[str, str]) -> TokenizedPrompt:
        beyond = body.having(_BEYOND_TOKENIZE) or (["images, videos or sound"] if body.has_media else [])
        if beyond:
            raise NoTokenIdsError(
                "unsupported", f"{_TOKENIZE} does not do {', '.join(beyond)}; start vLLM with --enable-scale-out"
            )
        answer = await self._post(url + _TOKENIZE, _tokenize_body(body, model), headers)
        if answer.status != 200:
            raise _problem_of(answer)
        return tokenized(answer.content)

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> _Answer:
        try:
            return await self._post_once(url, content, headers)
        except aiohttp.ServerDisconnectedError:
            # The connection was an idle one that the server closed at this moment; asking twice does no harm.
            return await self._post_once(url, content, headers)

    async def _post_once(self, url: str, content: bytes, headers: Mapping[str, str]) -> _Answer:
        async with self._opened().post(url, data=content, headers=headers, allow_redirects=False) as response:
            limit = MAX_ANSWER_BYTES if response.status == 200 else _MAX_REFUSAL_BYTES
            return _Answer(response.status, await _read(response, limit))

    def _opened(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise NoTokenIdsError("skipped", "the picker no longer uses this configuration")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                timeout=aiohttp.ClientTimeout(),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            if response.status == 200:
                raise NoTokenIdsError("failed", f"its answer is longer than {limit} bytes")
            break
        pieces.append(piece)
    return b"".join(pieces)


def _render_body(body: PromptBody, model: str) -> bytes:
    fields = {**body.fields, "model": msgspec.Raw(msgspec.json.encode(model))}
    if body.has_media:
        # Without the tensors, which would be megabytes.
        fields["mm_payload"] = msgspec.Raw(b'"none"')
    return msgspec.json.encode(fields)


def _tokenize_body(body: PromptBody, model: str) -> bytes:
    fields = {name: value for name, value in body.fields.items() if name in _TOKENIZE_FIELDS}
    if body.kind == "completions":
        fields["prompt"] = msgspec.Raw(msgspec.json.encode(body.text()))
    return msgspec.json.encode({**fields, "model": msgspec.Raw(msgspec.json.encode(model))})


def _problem_of(answer: _Answer) -> NoTokenIdsError:
    text = shortened(answer.content.decode("utf-8", "replace"))
    reason: Reason = "refused" if answer.status in _REFUSALS else "failed"
    return NoTokenIdsError(reason, f"it answered {answer.status}: {text}")
