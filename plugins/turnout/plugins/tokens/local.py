"""Token ids from the files of a tokenizer, without asking a server."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tokenizers import Tokenizer

from turnout.framework import CounterReading, Endpoint, Finding, GaugeReading, InferenceRequest, Reading
from turnout.plugins.circuit_breaker import CircuitBreaker
from turnout.plugins.tokens.body import PromptBody, packed
from turnout.plugins.tokens.chats import check_predictable, read_chat
from turnout.plugins.tokens.keys import TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError
from turnout.plugins.tokens.segments import SegmentTokenizer
from turnout.plugins.tokens.templates import ChatTemplate

INLINE_BYTES = 32_768
"""Chats up to this size are read and written out as text on the event loop."""

MAX_THREADS = 2
TIME_LIMIT_SECONDS = 5.0

# vLLM writes out chats of these models without the template.
_WITHOUT_TEMPLATE = ("gpt_oss",)
_PROBES = ("", "a", "Hello world", " \n", "é 漢")


class LocalTokenizer:
    """Token ids as vLLM makes them with the same files.

    ``path`` is a folder with ``tokenizer.json`` and ``tokenizer_config.json``, or the former file. Parts of prompts
    between special tokens are remembered in at most ``cache_bytes``.

    Raises:
        ValueError: a file is missing or not in its format.
        Exception: ``tokenizers`` cannot read ``tokenizer.json``.
    """

    def __init__(self, path: Path, cache_bytes: int) -> None:
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise ValueError(f"path must name a tokenizer.json or its folder, got {str(path)!r}")
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._templates = _templates(file.parent)
        self._surrounding = _surrounding(tokenizer, _config(file.parent))
        self._executor = ThreadPoolExecutor(MAX_THREADS, "tokenizer")
        self._segments = SegmentTokenizer(tokenizer, self._wanted(tokenizer), cache_bytes, self._executor)
        self._breaker = CircuitBreaker()

    async def token_ids(
        self, body: PromptBody, model: str, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float
    ) -> TokenizedPrompt:
        """The prompt of the request; the model makes no difference.

        Raises:
            NoTokenIdsError: only the engine can know its tokens, or tokenizing takes too long.
        """
        if not self._breaker.allows(now):
            raise NoTokenIdsError("skipped", "tokenizing took too long lately")
        try:
            async with asyncio.timeout(TIME_LIMIT_SECONDS):
                token_ids = await self._tokenize(body)
        except TimeoutError:
            self._breaker.failed(now, now + TIME_LIMIT_SECONDS)
            raise NoTokenIdsError("timeout", f"tokenizing took longer than {TIME_LIMIT_SECONDS:g} s") from None
        self._breaker.succeeded()
        if not token_ids:
            raise NoTokenIdsError("unsupported", "the prompt has no tokens")
        return TokenizedPrompt(token_ids)

    def findings(self, endpoints: Sequence[Endpoint]) -> Sequence[Finding]:
        """Tokenizing that takes too long, and a tokenizer whose work cannot be remembered in parts."""
        found = []
        if self._breaker.is_open:
            found.append(Finding("no-token-ids", f"tokenizing took longer than {TIME_LIMIT_SECONDS:g} s"))
        if not self._segments.is_split:
            text = (
                "every prompt is tokenized as a whole: this tokenizer gives parts other ids, or has nothing to split at"
            )
            found.append(Finding("no-prefix-tokenizations", text))
        return found

    def readings(self) -> Iterable[Reading]:
        """How much was found in the memory of parts."""
        name, text = "token_producer_tokens_total", "Tokens of prompts by whether a part was remembered."
        yield CounterReading(name, text, self._segments.found_bytes // 4, {"result": "remembered"})
        yield CounterReading(name, text, self._segments.tokenized_bytes // 4, {"result": "tokenized"})
        text = "Bytes of remembered parts of prompts."
        yield GaugeReading("token_producer_parts_bytes", text, self._segments.used_bytes)

    def reopen(self) -> None:
        """Nothing is ever closed."""

    async def close(self) -> None:
        """Threads end with the object."""

    async def _tokenize(self, body: PromptBody) -> bytes:
        check_predictable(body)
        if body.kind == "completions":
            return await self._surrounded(body.text(), not body.is_false("add_special_tokens"))
        if len(body.prompt) <= INLINE_BYTES:
            text, add_special_tokens = self._chat_text(body)
        else:
            loop = asyncio.get_running_loop()
            text, add_special_tokens = await loop.run_in_executor(self._executor, self._chat_text, body)
        return await self._surrounded(text, add_special_tokens)

    async def _surrounded(self, text: str, add_special_tokens: bool) -> bytes:
        if not add_special_tokens:
            return await self._segments.encode(text)
        if self._surrounding is None:
            raise NoTokenIdsError("unsupported", "what the tokenizer adds to a prompt depends on the prompt")
        before, after = self._surrounding
        return before + await self._segments.encode(text) + after

    def _chat_text(self, body: PromptBody) -> tuple[str, bool]:
        template = self._templates.for_tools if body.has("tools") else self._templates.usual
        if template is None:
            raise NoTokenIdsError("unsupported", "vLLM does not write chats of this model with a template of its files")
        chat = read_chat(body, content_in_parts=template.content_in_parts)
        return template.render(chat), chat.add_special_tokens

    def _wanted(self, tokenizer: Tokenizer) -> set[str]:
        """The special tokens that prompts are made of: splitting at all that a tokenizer reserves would be slow."""
        sources = [template.source for template in self._templates.all()]
        names = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        return {name for name in names if any(name in source for source in sources)} | set(self._templates.special)


@dataclass(frozen=True, slots=True)
class _Templates:
    usual: ChatTemplate | None
    for_tools: ChatTemplate | None
    special: Sequence[str]

    def all(self) -> list[ChatTemplate]:
        return [template for template in (self.usual, self.for_tools) if template is not None]


def _templates(folder: Path) -> _Templates:
    config = _config(folder)
    special = {name: text for name, value in config.items() if name.endswith("_token") and (text := _text_of(value))}
    sources = _sources(folder, config)
    if _read(folder / "config.json").get("model_type") in _WITHOUT_TEMPLATE:
        sources = {}
    usual, for_tools = sources.get("default"), sources.get("tool_use", sources.get("default"))
    return _Templates(
        None if usual is None else ChatTemplate(usual, special),
        None if for_tools is None else ChatTemplate(for_tools, special),
        tuple(special.values()),
    )


def _sources(folder: Path, config: Mapping[str, object]) -> Mapping[str, str]:
    """The chat templates by name; those in files of their own replace those in the configuration."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        more = sorted((folder / "additional_chat_templates").glob("*.jinja"))
        return {"default": _utf8(file), **{path.stem: _utf8(path) for path in more}}
    try:
        given = msgspec.convert(config.get("chat_template"), str | list[dict[str, str]] | None)
    except msgspec.ValidationError as error:
        raise ValueError(f"{folder / 'tokenizer_config.json'}: chat_template: {error}") from error
    if isinstance(given, str):
        return {"default": given}
    return {entry.get("name", ""): entry.get("template", "") for entry in given or ()}


def _config(folder: Path) -> Mapping[str, object]:
    return {**_read(folder / "special_tokens_map.json"), **_read(folder / "tokenizer_config.json")}


def _read(file: Path) -> Mapping[str, object]:
    """The fields of a JSON file; none when it is not there."""
    if not file.is_file():
        return {}
    try:
        fields: Mapping[str, object] = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON object: {error}") from error
    return fields


def _utf8(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no UTF-8: {error}") from error


def _text_of(token: object) -> str:
    """A special token's text; it may be described by an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _surrounding(tokenizer: Tokenizer, config: Mapping[str, object]) -> tuple[bytes, bytes] | None:
    """The ids that the tokenizer puts before and after every prompt; None when that is not certain."""
    bare, full = (
        [packed(tokenizer.encode(text, add_special_tokens=special).ids) for text in _PROBES]
        for special in (False, True)
    )
    # The first probe is the empty text.
    before_and_after = full[0]
    for cut in range(0, len(before_and_after) + 1, 4):
        before, after = before_and_after[:cut], before_and_after[cut:]
        if all(before + ids + after == whole for ids, whole in zip(bare, full, strict=True)):
            return None if _contradicts(config, before, after) else (before, after)
    return None


def _contradicts(config: Mapping[str, object], before: bytes, after: bytes) -> bool:
    """Whether the configuration asks for another beginning or end than the tokenizer's file."""
    return any(
        isinstance(asked, bool) and asked != bool(there)
        for asked, there in ((config.get("add_bos_token"), before), (config.get("add_eos_token"), after))
    )
