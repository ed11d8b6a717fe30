"""OpenAI responses, as whole bodies or as server-sent events.

Generated words are ASCII letters and spaces, which need no JSON escaping: a chunk of a stream is two byte
strings prepared once per request with four bytes of text between them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from turnout.epp.simulator.measurements import FinishReason
from turnout.epp.simulator.openai_requests import Kind, RequestError
from turnout.epp.simulator.tokens import BYTES_PER_TOKEN, detokenize

DONE = b"data: [DONE]\n\n"

Usage = dict[str, int | dict[str, int]]

_OBJECTS: dict[Kind, str] = {"completion": "text_completion", "chat": "chat.completion"}
_BEFORE_TEXT = b',"choices":[{"index":0,"text":"'
_AFTER_TEXT = b'","logprobs":null,"stop_reason":null,"finish_reason":'
_BEFORE_CHAT_TEXT = b',"choices":[{"index":0,"delta":{"content":"'
_AFTER_CHAT_TEXT = b'"},"logprobs":null,"finish_reason":'
_CHAT_ROLE = (
    b',"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
)


def usage_of(prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> Usage:
    """Return the usage object of a response."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


class ResponseFormat:
    """The response to one request, in pieces. `created` is in Unix seconds; `output` are the tokens of the
    whole answer.
    """

    def __init__(
        self, kind: Kind, response_id: str, created: int, model: str, output: array[int], finish_reason: FinishReason
    ) -> None:
        self._is_chat = kind == "chat"
        self._head: dict[str, str | int] = {"id": response_id, "object": _OBJECTS[kind]}
        self._head |= {"created": created, "model": model}
        self._output = output
        self._finish_reason = finish_reason

    def whole(self, usage: Usage) -> bytes:
        """Return the body of a response that is not streamed."""
        text = detokenize(self._output)
        content: dict[str, object] = {"text": text}
        if self._is_chat:
            content = {"message": {"role": "assistant", "content": text}}
        ending = {"logprobs": None, "finish_reason": self._finish_reason, "stop_reason": None}
        return msgspec.json.encode({**self._head, "choices": [{"index": 0, **content, **ending}], "usage": usage})

    def stream(self) -> StreamFormat:
        """Return the same response as server-sent events."""
        # A streamed completion keeps its object name, a streamed chat does not.
        chunk_name: dict[str, str | int] = {"object": "chat.completion.chunk"} if self._is_chat else {}
        return StreamFormat(self._head | chunk_name, self._output, self._finish_reason, is_chat=self._is_chat)


class StreamFormat:
    """One streamed response: an opening, one event per token, perhaps the usage, and `DONE`."""

    def __init__(
        self, head: dict[str, str | int], output: array[int], finish_reason: FinishReason, *, is_chat: bool
    ) -> None:
        # The object without its closing brace, so that "choices" can follow.
        self._head = b"data: " + msgspec.json.encode(head)[:-1]
        self._is_chat = is_chat
        self._text = detokenize(output).encode()
        self._before = self._head + (_BEFORE_CHAT_TEXT if is_chat else _BEFORE_TEXT)
        after = _AFTER_CHAT_TEXT if is_chat else _AFTER_TEXT
        self._after = after + b"null}]}\n\n"
        self._after_last = after + b'"' + finish_reason.encode() + b'"}]}\n\n'

    def opening(self) -> bytes:
        """Return what comes before the first token: a chat's role."""
        return self._head + _CHAT_ROLE if self._is_chat else b""

    def tokens(self, first: int, last: int) -> bytes:
        """Return the events of the tokens with index `first` up to, not including, `last`."""
        width, before, after = BYTES_PER_TOKEN, self._before, self._after
        words = [self._text[start : start + width] for start in range(first * width, last * width, width)]
        events = b"".join([before + word + after for word in words])
        if last * width == len(self._text):
            return events[: -len(after)] + self._after_last
        return events

    def usage(self, usage: Usage) -> bytes:
        """Return the event that carries the usage."""
        return self._head + b',"choices":[],"usage":' + msgspec.json.encode(usage) + b"}\n\n"


def error_body(error: RequestError) -> bytes:
    """Return the JSON body of a refusal."""
    detail = {"message": error.message, "type": error.error_type, "param": error.parameter, "code": error.status}
    return msgspec.json.encode({"error": detail})


def models_body(base: str, lora_names: Sequence[str], max_model_len: int, created: int) -> bytes:
    """Return the list of models: the base model and its adapters; `created` is in Unix seconds."""
    shared = {"object": "model", "created": created, "owned_by": "vllm"}
    models = [{"id": base, **shared, "root": base, "parent": None, "max_model_len": max_model_len}]
    models += [{"id": name, **shared, "root": name, "parent": base, "max_model_len": None} for name in lora_names]
    return msgspec.json.encode({"object": "list", "data": models})
