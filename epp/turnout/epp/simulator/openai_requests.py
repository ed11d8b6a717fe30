"""OpenAI request bodies: what the simulated server reads of them, and how it refuses them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import msgspec

from turnout.epp.simulator.measurements import FinishReason
from turnout.epp.simulator.tokens import MAX_TOKEN_ID, chat_tokens, tokenize

DEFAULT_COMPLETION_TOKENS = 16
DEFAULT_CHAT_TOKENS = 128

Kind = Literal["completion", "chat"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_TokenId = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_ID)]


class RequestError(Exception):
    """A request that is answered with an error; `parameter` names the field at fault, if one is."""

    def __init__(self, status: int, error_type: str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.parameter = parameter


@dataclass(frozen=True)
class ParsedRequest:
    """What a completion or chat request asks for."""

    kind: Kind
    model: str | None
    """The model's name as the client spelled it; None when it named none."""
    prompt: array[int]
    max_tokens: int | None
    stream: bool
    include_usage: bool
    cache_salt: str | None

    def output_length(self, max_model_len: int) -> tuple[int, FinishReason]:
        """Return how many tokens to generate and why the answer ends there.

        Raises:
            RequestError: prompt and output do not fit in `max_model_len` tokens.

        """
        room = max_model_len - len(self.prompt)
        wanted = self.max_tokens or 1
        if wanted > room:
            raise RequestError(
                400,
                "BadRequestError",
                f"This model's maximum context length is {max_model_len} tokens, but "
                f"{len(self.prompt)} prompt tokens and {wanted} output tokens were requested.",
                "max_tokens" if room > 0 else "prompt" if self.kind == "completion" else "messages",
            )
        if self.max_tokens is not None:
            return self.max_tokens, "length"
        if self.kind == "chat" and room >= DEFAULT_CHAT_TOKENS:
            return DEFAULT_CHAT_TOKENS, "stop"
        return min(room, DEFAULT_CHAT_TOKENS if self.kind == "chat" else DEFAULT_COMPLETION_TOKENS), "length"


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Options(msgspec.Struct, kw_only=True):
    model: str | None = None
    max_tokens: _Count | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    ignore_eos: bool | None = None
    cache_salt: str | None = None


class _CompletionBody(_Options, kw_only=True):
    prompt: str | list[str | _TokenId | list[_TokenId]]


class _ContentPart(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_ContentPart] | None = None


class _ChatBody(_Options, kw_only=True):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: _Count | None = None


_Body = TypeVar("_Body", bound=_Options)


def parse_completion(body: bytes) -> ParsedRequest:
    """Read the body of /v1/completions.

    Raises:
        RequestError: it is not JSON, a field is wrong, or it asks for what the simulation does not do.

    """
    parsed = _decode(body, _CompletionBody)
    return _parsed("completion", parsed, _prompt_tokens(parsed.prompt), parsed.max_tokens)


def parse_chat(body: bytes) -> ParsedRequest:
    """Read the body of /v1/chat/completions.

    Raises:
        RequestError: it is not JSON, a field is wrong, or it asks for what the simulation does not do.

    """
    parsed = _decode(body, _ChatBody)
    prompt = chat_tokens((message.role, _message_text(message)) for message in parsed.messages)
    return _parsed("chat", parsed, prompt, parsed.max_completion_tokens or parsed.max_tokens)


def _decode(body: bytes, body_type: type[_Body]) -> _Body:
    try:
        parsed = msgspec.json.decode(body, type=body_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(f"request body: {error}") from error
    if parsed.n not in (None, 1):
        raise _refusal(f"n must be 1, got {parsed.n}", "n")
    if parsed.stream_options is not None and not parsed.stream:
        raise _refusal("stream_options needs stream to be true", "stream_options")
    return parsed


def _parsed(kind: Kind, body: _Options, prompt: array[int], max_tokens: int | None) -> ParsedRequest:
    if not prompt:
        raise _refusal("prompt must have at least one token", "prompt")
    include_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    return ParsedRequest(kind, body.model, prompt, max_tokens, bool(body.stream), include_usage, body.cache_salt)


def _prompt_tokens(prompt: str | list[str | int | list[int]]) -> array[int]:
    if isinstance(prompt, str):
        return tokenize(prompt)
    token_ids = [token for token in prompt if isinstance(token, int)]
    if len(token_ids) == len(prompt):
        return array("I", token_ids)
    if len(prompt) > 1:
        raise _refusal(f"prompt must be at most 1 prompt, got a list of {len(prompt)}", "prompt")
    return _single_prompt(prompt[0])


def _single_prompt(prompt: str | int | list[int]) -> array[int]:
    return tokenize(prompt) if isinstance(prompt, str) else array("I", prompt if isinstance(prompt, list) else [prompt])


def _message_text(message: _Message) -> str:
    if message.content is None:
        return ""
    if isinstance(message.content, str):
        return message.content
    for part in message.content:
        if part.type != "text":
            raise _refusal(f"messages: content parts must be of type text, got {part.type!r}", "messages")
    return "".join(part.text for part in message.content)


def _refusal(message: str, parameter: str | None = None) -> RequestError:
    return RequestError(400, "BadRequestError", message, parameter)
