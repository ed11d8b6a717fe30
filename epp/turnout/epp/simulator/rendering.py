"""What the engine will see of a request, in vLLM's words: the answers of its render endpoints and of `/tokenize`."""

from __future__ import annotations

import uuid

import msgspec

from turnout.epp.simulator.openai_requests import ParsedRequest, RequestError, parse_chat, parse_completion

_SAMPLING: dict[str, object] = {
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_p": 1.0,
    "min_p": 0.0,
    "stop": [],
    "stop_token_ids": [],
    "skip_clone": True,
    "bad_words": [],
    "skip_reading_prefix_cache": False,
}
_ALL_AT_ONCE, _PIECE_BY_PIECE = 2, 1


class _Tokenizable(msgspec.Struct):
    prompt: str | None = None
    messages: msgspec.Raw = msgspec.Raw()


def parse_tokenize(body: bytes) -> ParsedRequest:
    """Read the body of /tokenize: that of a completion with one text, or of a chat.

    Raises:
        RequestError: it is neither.

    """
    try:
        fields = msgspec.json.decode(body, type=_Tokenizable)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "Bad Request", f"request body: {error}") from error
    if fields.prompt is not None:
        return parse_completion(body)
    if bytes(fields.messages):
        return parse_chat(body)
    raise RequestError(400, "Bad Request", "request body: prompt or messages must be given")


def rendered_body(parsed: ParsedRequest, max_model_len: int) -> bytes:
    """Return the answer of /v1/completions/render, a list, or of /v1/chat/completions/render.

    Raises:
        RequestError: the prompt is too long for the model.

    """
    max_tokens, _ = parsed.output_length(max_model_len)
    rendered = {
        "request_id": f"{'chatcmpl' if parsed.kind == 'chat' else 'cmpl'}-{uuid.uuid4().hex[:16]}",
        "token_ids": parsed.prompt.tolist(),
        "token_offsets": None,
        "features": None,
        "content_parts": None,
        "sampling_params": {
            **_SAMPLING,
            "max_tokens": max_tokens,
            "output_kind": _PIECE_BY_PIECE if parsed.stream else _ALL_AT_ONCE,
        },
        "model": parsed.model,
        "reasoning_ended": None,
        "reasoning_parser_kwargs": None,
        "return_token_ids": None,
        "output_mode": "tokens",
        "stream": parsed.stream,
        "stream_options": {"include_usage": True, "continuous_usage_stats": False} if parsed.include_usage else None,
        "cache_salt": parsed.cache_salt,
        "priority": 0,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
    }
    return msgspec.json.encode(rendered if parsed.kind == "chat" else [rendered])


def tokenized_body(parsed: ParsedRequest, max_model_len: int) -> bytes:
    """Return the answer of /tokenize, which takes prompts of any length."""
    tokens = parsed.prompt.tolist()
    return msgspec.json.encode(
        {"count": len(tokens), "max_model_len": max_model_len, "tokens": tokens, "token_strs": None}
    )
