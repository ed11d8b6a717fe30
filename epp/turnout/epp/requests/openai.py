"""OpenAI request bodies: completions, chat, embeddings, responses and what shares their shape.

A body is decoded once by msgspec into the few fields that routing needs. The prompt stays raw JSON
(``msgspec.Raw``): nothing inside it is decoded, so a long conversation costs one scan.

Chat templates put tools and instructions before the messages, wherever the body has them, so their raw bytes come
first in the prompt's data: a conversation that goes on keeps its beginning, and other tools begin another one.
"""

from collections.abc import Collection, Sequence

import msgspec

from turnout.epp.requests.paths import matches
from turnout.framework import ParsedBody, Prompt, Usage

# 4 bytes of text to a token is the field's usual estimate (the reference's estimate mode packs 4 UTF-8 bytes).
BYTES_PER_TOKEN = 4

MAX_ANSWERS = 100_000
"""A request that asks for more counts as this; no engine gives so many."""

_LONGEST_NUMBER = 32


class _Body(msgspec.Struct):
    model: str = ""
    messages: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    items: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    cache_salt: str | None = None
    n: msgspec.Raw = msgspec.Raw()


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None


class _Completed(msgspec.Struct):
    usage: _Usage | None = None


class _Reply(msgspec.Struct):
    usage: _Usage | None = None
    response: _Completed | None = None  # the Responses API's `response.completed` event


# Path ending -> (the field that must be there, what the client is told when it is not).
_FORMATS: dict[str, tuple[str, str]] = {
    "chat/completions": ("messages", "invalid chat completions request: must have valid messages field"),
    "chat/completions/render": ("messages", "invalid chat completions request: must have valid messages field"),
    "completions": ("prompt", "invalid completions request: must have prompt field"),
    "completions/render": ("prompt", "invalid completions request: must have prompt field"),
    "embeddings": ("input", "invalid embeddings request: must have input field"),
    "responses": ("input", "invalid responses request: must have input field"),
    "conversations": ("items", "invalid conversations request: must have items field"),
    "images/generations": ("prompt", "invalid images generations request: must have prompt field"),
}

# Path ending -> fields that the engine reads before the required one.
_LEADING: dict[str, tuple[str, ...]] = {
    "chat/completions": ("tools",),
    "chat/completions/render": ("tools",),
    "responses": ("instructions", "tools"),
}
# A tuple: a set would hash the whole prompt.
_EMPTY = (b"", b"null", b"[]")

# Engines take "16" and 16.0 for 16, so they must not be refused here.
_decode_body = msgspec.json.Decoder(_Body, strict=False).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class OpenAIParser:
    """Parses OpenAI-style JSON bodies."""

    paths: Collection[str] = tuple(_FORMATS)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Reads model, prompt, streaming and output cap.

        Raises:
            ValueError: not a JSON object of the path's format, or it names no model.
        """
        fields = _decode(body)
        ending = _format_of(path)
        required, problem = _FORMATS[ending]
        raw = _raw(fields, required)
        if not raw:
            raise ValueError(problem)
        if not fields.model:
            raise ValueError("model not found in request body")
        limits = (fields.max_completion_tokens, fields.max_tokens, fields.max_output_tokens)
        limit = next((value for value in limits if value is not None), None)
        prompt = _prompt([_raw(fields, name) for name in _LEADING.get(ending, ())], raw, fields.cache_salt or "")
        answers = _count(bytes(fields.n)) * (_prompts(raw) if ending == "completions" else 1)
        return ParsedBody(fields.model, bool(fields.stream), limit, prompt, min(answers, MAX_ANSWERS))

    def rewrite_model(self, body: bytes, model: str) -> bytes:
        """The body with another model; every other value keeps its bytes, and the order of the fields stays."""
        fields = _decode_fields(body)
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
        return msgspec.json.encode(fields)

    def usage(self, body: bytes) -> Usage | None:
        """Usage of a completion, a chunk that carries it, or a ``response.completed`` event."""
        try:
            reply = _decode_reply(body)
        except (msgspec.MsgspecError, RecursionError):
            return None
        found = reply.usage or (reply.response.usage if reply.response else None)
        return None if found is None else _to_usage(found)


def _decode(body: bytes) -> _Body:
    try:
        return _decode_body(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"error unmarshaling request bodyMap: {error}") from None
    except RecursionError:
        raise ValueError("error unmarshaling request bodyMap: it is nested too deeply") from None


def _format_of(path: str) -> str:
    path = path.rstrip("/")
    return max((known for known in _FORMATS if matches(path, known)), key=len, default="completions")


def _raw(fields: _Body, name: str) -> bytes:
    """The field's JSON; nothing where it is absent, null or an empty list."""
    raw = bytes(getattr(fields, name))
    return b"" if raw in _EMPTY else raw


def _prompt(leading: Sequence[bytes], raw: bytes, salt: str) -> Prompt:
    data = b"".join((*leading, _open_ended(raw))) if any(leading) else _open_ended(raw)
    return Prompt(data, _count_tokens(raw) + -(-sum(map(len, leading)) // BYTES_PER_TOKEN), salt)


def _open_ended(raw: bytes) -> bytes:
    """Without the closing bracket or quote, so that a prompt that goes on has this one as its prefix."""
    return raw[:-1] if raw[-1:] in (b"]", b'"') else raw


def _count_tokens(raw: bytes) -> int:
    head = raw[:64].lstrip(b"[ \t\r\n")
    if raw[:1] == b"[" and head[:1].isdigit():
        return raw.count(b",") + 1  # token ids: exact
    return -(-len(raw) // BYTES_PER_TOKEN)


def _count(raw: bytes) -> int:
    """The number that ``n`` is; 1 if it is none, for what engines make of that is their business."""
    try:
        number = float(raw[:_LONGEST_NUMBER].strip(b'"'))
    except ValueError:
        return 1
    return int(min(max(1.0, number), MAX_ANSWERS))


def _prompts(raw: bytes) -> int:
    """How many prompts there are: a list of texts, or of lists of token ids, has one in each of its items."""
    if raw[:1] != b"[" or raw[1:64].lstrip()[:1] not in (b'"', b"["):
        return 1
    return len(msgspec.json.decode(raw, type=list[msgspec.Raw]))


def _to_usage(found: _Usage) -> Usage:
    details = found.prompt_tokens_details or found.input_tokens_details
    return Usage(
        prompt_tokens=max(0, found.prompt_tokens or found.input_tokens or 0),
        completion_tokens=max(0, found.completion_tokens or found.output_tokens or 0),
        cached_tokens=details.cached_tokens if details else None,
    )
