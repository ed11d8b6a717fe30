"""Publishes the token ids of prompts."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, get_args

from turnout.framework import (
    REQUEST_BODY,
    CounterReading,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Reading,
)
from turnout.plugins.tokens.body import PromptBody, read_body
from turnout.plugins.tokens.cache import BytesLRU
from turnout.plugins.tokens.keys import DEFAULT_PRODUCER, TOKENIZED_PROMPT, TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError, Reason

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
DEPRECATED_NAME = "tokenizer"
"""The type's earlier name; a plugin named so publishes under the default name."""

FORGET_AFTER_SECONDS = 600.0
"""A chat template may write the date, so that the ids of a body do not stay right for ever."""

LOCAL_TIME_LIMIT_SECONDS = 6.0
"""More than the tokenizer itself waits."""

PROBLEMS_TO_REPORT = 20
"""So many prompts in a row without token ids are no coincidence."""

_MARGIN_SECONDS = 1.0
_BYTES_PER_CONTENT = 200
_OUTCOMES = ("given", "cached", "tokenized", *get_args(Reason))

NOTHING_CONFIGURED = (
    "the prompt is text and no source of token ids is configured: set vllm, or tokenizer, of the token producer"
)


@dataclass(frozen=True, slots=True)
class VllmRenderer:
    """A vLLM that shows token ids. ``url`` has no path; empty means the request's own candidate endpoints.

    ``mm_timeout`` applies to requests with images, videos or sound, ``timeout`` to the others.

    Raises:
        ValueError: the address is none, or a timeout is not above 0.
    """

    url: str = "http://localhost:8000"
    timeout: timedelta = timedelta(seconds=5)
    mm_timeout: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https:// or be empty, got {self.url!r}")
        for name, value in (("timeout", self.timeout), ("mm_timeout", self.mm_timeout)):
            if value <= timedelta(0):
                raise ValueError(f"{name} must be above 0, got {value}")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """``path``: a folder with ``tokenizer.json`` and ``tokenizer_config.json``, or the former file in such a folder."""

    path: str


class Source(Protocol):
    """Where token ids come from."""

    async def token_ids(
        self, body: PromptBody, model: str, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float
    ) -> TokenizedPrompt:
        """The prompt of the request; raises ``NoTokenIdsError``."""
        ...

    def findings(self, endpoints: Sequence[Endpoint]) -> Sequence[Finding]:
        """What is wrong with the source."""
        ...

    def readings(self) -> Iterable[Reading]:
        """The source's own figures."""
        ...

    def reopen(self) -> None:
        """Allows requests again after ``close``."""
        ...

    async def close(self) -> None:
        """Frees connections."""
        ...


@dataclass(frozen=True, slots=True)
class _Cached:
    prompt: TokenizedPrompt
    until: float


class TokenProducer:
    """Publishes the token ids of each prompt, as the engine will have them, or why they are not known.

    A prompt that the client sent as token ids needs no source. For texts there is at most one: ``vllm``, a server
    that is asked, or ``tokenizer``, files that are read at the start (needs the extra ``tokens``). ``model_name`` is
    the model that the source is asked for; empty means the one that the engine will be asked for. Equal bodies are
    tokenized once in 10 minutes. The caches take at most ``cache_bytes``.

    Raises:
        ValueError: both sources are given, ``cache_bytes`` is negative, or the tokenizer's files cannot be used.
    """

    optional_reads = (REQUEST_BODY,)

    def __init__(
        self,
        model_name: str = "",
        vllm: VllmRenderer | None = None,
        tokenizer: TokenizerFiles | None = None,
        cache_bytes: int = 64 * 2**20,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if vllm is not None and tokenizer is not None:
            raise ValueError("vllm and tokenizer must not both be given")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be at least 0, got {cache_bytes}")
        self._model_name = model_name
        self._source: Source | None = None
        self.time_limit_seconds = LOCAL_TIME_LIMIT_SECONDS
        if vllm is not None:
            self._source = _renderer(vllm)
            self.time_limit_seconds = max(vllm.timeout, vllm.mm_timeout).total_seconds() + _MARGIN_SECONDS
        if tokenizer is not None:
            # A half for whole prompts, the other for their parts.
            cache_bytes //= 2
            self._source = _local(tokenizer, cache_bytes)
        self._label = "vllm" if vllm else "tokenizer" if tokenizer else "none"
        self._key = TOKENIZED_PROMPT.of(DEFAULT_PRODUCER if name == DEPRECATED_NAME else name)
        self.writes = (self._key,)
        self._cache = BytesLRU[_Cached](cache_bytes)
        self._outcomes: Counter[str] = Counter()
        self._in_vain = 0
        self._last_problem = ""

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the token ids of the request, or the problem."""
        try:
            prompt = await self._tokenize(request, state, endpoints)
        except NoTokenIdsError as error:
            self._outcomes[error.reason] += 1
            prompt = TokenizedPrompt(problem=str(error))
        state.write(self._key, prompt)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Reports a source that is missing, that keeps failing, or that is of no use for the requests there are."""
        findings = list(self._source.findings(endpoints)) if self._source is not None else []
        if self._outcomes["unconfigured"]:
            findings.append(Finding("no-token-ids", NOTHING_CONFIGURED))
        elif self._in_vain >= PROBLEMS_TO_REPORT and not findings:
            text = f"none of the last {self._in_vain} prompts has token ids; the last one: {self._last_problem}"
            findings.append(Finding("no-token-ids", text))
        return Diagnosis(tuple(findings))

    def readings(self) -> Iterable[Reading]:
        """What became of the requests, and the caches."""
        name, text = "token_producer_requests_total", "Prompts by how their token ids were found, or why they were not."
        for outcome in _OUTCOMES:
            yield CounterReading(name, text, self._outcomes[outcome], {"source": self._label, "outcome": outcome})
        yield GaugeReading("token_producer_cache_bytes", "Bytes of whole prompts kept.", self._cache.used_bytes)
        if self._source is not None:
            yield from self._source.readings()

    async def run(self) -> None:
        """Keeps the source's connections until cancelled."""
        if self._source is None:
            return
        self._source.reopen()
        try:
            await asyncio.Event().wait()
        finally:
            await self._source.close()

    async def _tokenize(
        self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
    ) -> TokenizedPrompt:
        content = state.get(REQUEST_BODY)
        if content is None:
            raise NoTokenIdsError("unsupported", "the request has no body, or only a part of it is known")
        body = read_body(request.path, content)
        given = body.given_ids()
        if given is not None:
            self._outcomes["given"] += 1
            return TokenizedPrompt(given)
        if self._source is None:
            raise NoTokenIdsError("unconfigured", NOTHING_CONFIGURED)
        model = self._model_name or request.target_model
        key = body.key(model)
        known = self._cache.get(key)
        if known is not None and state.now < known.until:
            self._outcomes["cached"] += 1
            return known.prompt
        prompt = await self._asked(self._source, body, model, request, endpoints, state.now)
        if body.is_lasting:
            size = len(prompt.token_ids) + _BYTES_PER_CONTENT * (1 + len(prompt.multimodal))
            self._cache.put(key, _Cached(prompt, state.now + FORGET_AFTER_SECONDS), size)
        return prompt

    async def _asked(
        self,
        source: Source,
        body: PromptBody,
        model: str,
        request: InferenceRequest,
        endpoints: Sequence[Endpoint],
        now: float,
    ) -> TokenizedPrompt:
        try:
            prompt = await source.token_ids(body, model, request, endpoints, now)
        except NoTokenIdsError as error:
            self._in_vain += 1
            self._last_problem = str(error)
            raise
        self._in_vain = 0
        self._outcomes["tokenized"] += 1
        return prompt


def _renderer(vllm: VllmRenderer) -> Source:
    from turnout.plugins.tokens.render import RenderClient  # noqa: PLC0415 - needs packages that others do without

    return RenderClient(vllm.url, vllm.timeout, vllm.mm_timeout)


def _local(files: TokenizerFiles, cache_bytes: int) -> Source:
    try:
        from turnout.plugins.tokens.local import LocalTokenizer  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        raise ValueError(f"tokenizer needs more packages (the extra tokens): {error}") from error
    return LocalTokenizer(Path(files.path), cache_bytes)
