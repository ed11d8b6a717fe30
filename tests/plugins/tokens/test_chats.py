import json
from collections.abc import Mapping
from typing import Any

import pytest

from turnout.plugins.tokens.body import read_body
from turnout.plugins.tokens.chats import Chat, check_predictable, read_chat
from turnout.plugins.tokens.problems import NoTokenIdsError

USER = {"role": "user", "content": "hello"}


def chat(messages: Any, *, content_in_parts: bool = False, **fields: object) -> Chat:
    body = json.dumps({"messages": messages, **fields}).encode()
    return read_chat(read_body("/v1/chat/completions", body), content_in_parts=content_in_parts)


def shown(message: Mapping[str, object], *, content_in_parts: bool = False) -> dict[str, object]:
    (only,) = chat([message], content_in_parts=content_in_parts).messages
    return only


@pytest.mark.parametrize(
    ("content", "text", "parts"),
    [
        pytest.param("hello", "hello", [{"type": "text", "text": "hello"}], id="a text"),
        pytest.param(None, "", [], id="nothing"),
        pytest.param(
            [{"type": "text", "text": "a", "cache_control": {}}, "b"],
            "a\nb",
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            id="two parts",
        ),
    ],
)
def test_content_is_a_text_or_parts_as_the_template_wants_it(content: object, text: str, parts: object) -> None:
    message: dict[str, object] = {"role": "user", "content": content}
    assert shown(message) == {"role": "user", "content": text}
    assert shown(message, content_in_parts=True) == {"role": "user", "content": parts}


def test_the_result_of_a_tool_is_always_a_text() -> None:
    message = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "4"}], "name": "add"}
    assert shown(message, content_in_parts=True) == {
        "role": "tool",
        "content": "4",
        "tool_call_id": "c1",
        "name": "add",
    }


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        pytest.param('{"a": [1]}', {"a": [1]}, id="an object"),
        pytest.param("{", {}, id="no JSON"),
        pytest.param("[1]", {}, id="no object"),
        pytest.param("", {}, id="nothing"),
        pytest.param(None, {}, id="null"),
        pytest.param({"a": 1}, {"a": 1}, id="an object that was not written as text"),
    ],
)
def test_the_arguments_of_a_call_are_always_an_object(given: object, arguments: object) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": given}}
    assert shown({"role": "assistant", "tool_calls": [call]}) == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": arguments}}],
    }


def test_an_assistant_without_calls_has_none_and_its_reasoning_under_both_names() -> None:
    assert shown({"role": "assistant", "content": "x", "tool_calls": [], "reasoning": "r"}) == {
        "role": "assistant",
        "content": "x",
        "reasoning": "r",
        "reasoning_content": "r",
    }


def test_tools_are_described_as_the_engine_describes_them() -> None:
    tools = [
        {"type": "function", "function": {"parameters": {"b": 1, "a": 2}, "name": "f", "x": 1}},
        {"type": "function", "function": {"name": "g", "description": "d", "strict": True}},
    ]
    assert chat([USER], tools=tools).tools == [
        {"type": "function", "function": {"name": "f", "description": None, "parameters": {"b": 1, "a": 2}}},
        {"type": "function", "function": {"name": "g", "description": "d", "parameters": None, "strict": True}},
    ]
    assert chat([USER]).tools is None


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        pytest.param({}, {"add_generation_prompt": True}, id="nothing"),
        pytest.param({"add_generation_prompt": False}, {"add_generation_prompt": False}, id="no answer begun"),
        pytest.param(
            {"chat_template_kwargs": {"enable_thinking": False, "mode": "auto", "other": None, "x": [1]}},
            {"add_generation_prompt": True, "enable_thinking": False, "x": [1]},
            id="variables, of which those that say nothing are left out",
        ),
        pytest.param(
            {"reasoning_effort": "none"},
            {"add_generation_prompt": True, "reasoning_effort": "none", "enable_thinking": False},
            id="no reasoning",
        ),
        pytest.param(
            {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": 0}},
            {"add_generation_prompt": True, "reasoning_effort": "low", "enable_thinking": 0},
            id="reasoning that is switched off otherwise",
        ),
    ],
)
def test_the_variables_of_a_template(fields: dict[str, Any], variables: dict[str, object]) -> None:
    assert chat([USER], **fields).variables == variables


def test_special_tokens_are_added_only_when_asked_for() -> None:
    assert not chat([USER]).add_special_tokens
    assert chat([USER], add_special_tokens=True).add_special_tokens


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        pytest.param({"role": "developer", "content": "x"}, "role 'developer'", id="a role that engines translate"),
        pytest.param({"role": "user", "content": [{"type": "image_url"}]}, "type 'image_url'", id="an image"),
        pytest.param({"role": "user", "content": [{"type": "text"}]}, "type 'text'", id="a part without text"),
        pytest.param({"role": "assistant", "reasoning_content": "x"}, "reasoning_content", id="an older name"),
        pytest.param(
            {"role": "system", "content": "x-anthropic-billing-header: 1"}, "x-anthropic-billing-header", id="a line"
        ),
    ],
)
def test_what_engines_treat_in_ways_of_their_own_has_no_ids(message: dict[str, object], problem: str) -> None:
    with pytest.raises(NoTokenIdsError) as caught:
        chat([message])
    assert caught.value.reason == "unsupported"
    assert problem in str(caught.value)


def test_variables_that_stand_for_the_chat_itself_have_no_ids() -> None:
    with pytest.raises(NoTokenIdsError, match="chat_template_kwargs holds messages, tools"):
        chat([USER], chat_template_kwargs={"tools": [], "messages": []})


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="none"),
        pytest.param("x", id="a text"),
        pytest.param([{"content": "x"}], id="one without a role"),
        pytest.param([{"role": "user", "content": 7}], id="one whose content is a number"),
        pytest.param([{"role": "assistant", "tool_calls": [{"function": "f"}]}], id="a call without a function"),
    ],
)
def test_messages_that_are_none_are_refused(messages: object) -> None:
    with pytest.raises(NoTokenIdsError) as caught:
        chat(messages)
    assert caught.value.reason == "refused"


@pytest.mark.parametrize(
    ("fields", "predictable"),
    [
        pytest.param({"temperature": 0}, True, id="sampling"),
        pytest.param({"continue_final_message": False}, True, id="a switch that is off"),
        pytest.param({"continue_final_message": True}, False, id="a switch that is on"),
        pytest.param({"chat_template": "x"}, False, id="a template of the client's"),
        pytest.param({"truncate_prompt_tokens": 5}, False, id="a cut"),
    ],
)
def test_some_fields_make_the_tokens_unpredictable(fields: dict[str, object], predictable: bool) -> None:
    body = read_body("/v1/chat/completions", json.dumps({"messages": [USER], **fields}).encode())
    if predictable:
        check_predictable(body)
    else:
        with pytest.raises(NoTokenIdsError, match="only the engine knows the tokens with"):
            check_predictable(body)
