"""Chats as vLLM hands them to a chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from turnout.plugins.tokens.body import PromptBody
from turnout.plugins.tokens.problems import NoTokenIdsError

JSONObject: TypeAlias = dict[str, object]

# What changes the tokens in ways that only the engine knows.
_ENGINE_ONLY = frozenset(
    (
        "chat_template",
        "continue_final_message",
        "kv_transfer_params",
        "mm_processor_kwargs",
        "prompt_embeds",
        "truncate_prompt_tokens",
    )
)
# Parameters of the engine's own call; a request that names them means something else than the template sees.
_RESERVED = frozenset(("chat_template", "conversation", "documents", "messages", "tokenize", "tools"))
_ROLES = frozenset(("system", "user", "assistant", "tool"))
_UNSET = (None, "auto")
# Newer engines cut this line off, older ones keep it.
_BILLING_LINE = "x-anthropic-billing-header"


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: JSONObject | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    function: _Function
    type: str = "function"


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Call(msgspec.Struct):
    function: JSONObject
    id: str | None = None
    type: str = "function"


class _Message(msgspec.Struct):
    role: str
    content: str | list[str | _Part] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Chat(msgspec.Struct):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    documents: list[JSONObject] | None = None
    add_generation_prompt: bool = True
    add_special_tokens: bool = False
    reasoning_effort: str | None = None
    chat_template_kwargs: JSONObject | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What a template gets to see: ``messages``, ``tools`` and ``documents``, and ``variables`` beside them."""

    messages: Sequence[JSONObject]
    tools: Sequence[JSONObject] | None
    documents: Sequence[JSONObject] | None
    variables: Mapping[str, object]
    add_special_tokens: bool


def check_predictable(body: PromptBody) -> None:
    """Raises ``NoTokenIdsError`` for a body whose tokens nobody but the engine can tell."""
    only_engine = [name for name in body.having(_ENGINE_ONLY) if not body.is_false(name)]
    if only_engine:
        raise NoTokenIdsError("unsupported", f"only the engine knows the tokens with {', '.join(only_engine)}")


def read_chat(body: PromptBody, *, content_in_parts: bool) -> Chat:
    """The chat in a body. With ``content_in_parts`` texts become lists of parts, as some templates want them.

    Raises:
        NoTokenIdsError: the engine would make other tokens of it than a template does, or refuse it.
    """
    present = {name: value for name, value in body.fields.items() if name in _Chat.__struct_fields__ and body.has(name)}
    try:
        chat = msgspec.convert(_decoded(present), _Chat)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoTokenIdsError("refused", f"the chat cannot be read: {error}") from None
    if not chat.messages:
        raise NoTokenIdsError("refused", "the chat has no messages")
    return Chat(
        [_message(message, content_in_parts) for message in chat.messages],
        None if chat.tools is None else [_tool(tool) for tool in chat.tools],
        chat.documents,
        _variables(chat),
        chat.add_special_tokens,
    )


def _decoded(fields: Mapping[str, msgspec.Raw]) -> dict[str, object]:
    return {name: msgspec.json.decode(value) for name, value in fields.items()}


def _variables(chat: _Chat) -> Mapping[str, object]:
    given = chat.chat_template_kwargs or {}
    reserved = _RESERVED & given.keys()
    if reserved:
        raise NoTokenIdsError("unsupported", f"chat_template_kwargs holds {', '.join(sorted(reserved))}")
    own: JSONObject = {"add_generation_prompt": chat.add_generation_prompt, "reasoning_effort": chat.reasoning_effort}
    if chat.reasoning_effort is not None and "enable_thinking" not in given:
        own["enable_thinking"] = chat.reasoning_effort != "none"
    return {name: value for name, value in {**given, **_set(own)}.items() if value not in _UNSET}


def _set(values: JSONObject) -> JSONObject:
    return {name: value for name, value in values.items() if value not in _UNSET}


def _tool(tool: _Tool) -> JSONObject:
    function = tool.function
    described: JSONObject = {
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
    }
    if function.strict is not None:
        described["strict"] = function.strict
    return {"type": tool.type, "function": described}


def _message(message: _Message, content_in_parts: bool) -> JSONObject:
    if message.role not in _ROLES:
        raise NoTokenIdsError("unsupported", f"only the engine knows the tokens of a message of role {message.role!r}")
    texts = _texts(message)
    shown: JSONObject = {"role": message.role, "content": "\n".join(texts)}
    if content_in_parts and message.role != "tool":
        shown["content"] = [{"type": "text", "text": text} for text in texts]
    if message.role == "assistant":
        shown |= _of_assistant(message)
    if message.role == "tool" and message.tool_call_id is not None:
        shown["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        shown["name"] = message.name
    return shown


def _texts(message: _Message) -> list[str]:
    content = message.content
    parts = [content] if isinstance(content, str) else content or []
    texts = [part if isinstance(part, str) else _text_of(part) for part in parts]
    if message.role == "system" and any(text.startswith(_BILLING_LINE) for text in texts):
        raise NoTokenIdsError("unsupported", f"engines differ in what they do with {_BILLING_LINE}")
    return texts


def _text_of(part: _Part) -> str:
    if part.type != "text" or part.text is None:
        raise NoTokenIdsError("unsupported", f"only the engine knows the tokens of a part of type {part.type!r}")
    return part.text


def _of_assistant(message: _Message) -> JSONObject:
    if message.reasoning_content is not None:
        raise NoTokenIdsError("unsupported", "engines differ in what they do with reasoning_content")
    shown: JSONObject = {}
    if message.tool_calls:
        shown["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.reasoning is not None:
        shown |= {"reasoning": message.reasoning, "reasoning_content": message.reasoning}
    return shown


def _call(call: _Call) -> JSONObject:
    function = {"name": call.function.get("name"), "arguments": _arguments(call.function.get("arguments"))}
    return {"id": call.id, "type": call.type, "function": function}


def _arguments(given: object) -> object:
    """An object, whatever the client sent in its place."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return {}
    return given if isinstance(given, dict) else {}
