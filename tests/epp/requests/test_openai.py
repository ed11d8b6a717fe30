import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.requests.openai import OpenAIParser
from turnout.framework import Usage

PARSER = OpenAIParser()
CHAT = "/v1/chat/completions"


def encode(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def test_a_chat_request_yields_model_streaming_limit_and_prompt() -> None:
    body = encode(model="m", messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=7, cache_salt="s")
    parsed = PARSER.parse(CHAT, body)
    assert (parsed.model, parsed.stream, parsed.max_output_tokens) == ("m", True, 7)
    assert parsed.prompt is not None
    assert parsed.prompt.data == b'[{"role":"user","content":"hi"}'
    assert (parsed.prompt.tokens, parsed.prompt.salt) == (8, "s")


@pytest.mark.parametrize(
    ("path", "fields", "answers"),
    [
        pytest.param(CHAT, {}, 1, id="not said"),
        pytest.param(CHAT, {"n": 3}, 3, id="several"),
        pytest.param(CHAT, {"n": "3"}, 3, id="as text, which engines take"),
        pytest.param(CHAT, {"n": 3.0}, 3, id="with a fraction of nothing"),
        pytest.param(CHAT, {"n": None}, 1, id="null"),
        pytest.param(CHAT, {"n": -2}, 1, id="less than one"),
        pytest.param(CHAT, {"n": [4]}, 1, id="no number"),
        pytest.param(CHAT, {"n": "nan"}, 1, id="not a number"),
        pytest.param(CHAT, {"n": 10**15}, 100_000, id="beyond all measure"),
        pytest.param("/v1/completions", {"prompt": ["a", "b"], "n": 3}, 6, id="of each of two prompts"),
        pytest.param("/v1/completions", {"prompt": [[1, 2], [3], [4]]}, 3, id="of prompts of token ids"),
        pytest.param("/v1/completions", {"prompt": [1, 2, 3]}, 1, id="of one prompt of token ids"),
        pytest.param("/v1/completions", {"prompt": "abc"}, 1, id="of one text"),
    ],
)
def test_as_many_answers_are_asked_for(path: str, fields: dict[str, object], answers: int) -> None:
    body = encode(**{"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})
    assert PARSER.parse(path, body).answers == answers


TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]
RESPONSES = "/v1/responses"


def data_of(path: str, **fields: object) -> bytes:
    prompt = PARSER.parse(path, encode(model="m", **fields)).prompt
    assert prompt is not None
    return prompt.data


def test_tools_and_instructions_come_before_the_messages_as_the_engine_reads_them() -> None:
    tools, turns = msgspec.json.encode(TOOLS), msgspec.json.encode(TURNS)[:-1]
    assert data_of(CHAT, messages=TURNS, tools=TOOLS) == tools + turns
    assert data_of(RESPONSES, input=TURNS, tools=TOOLS, instructions="be kind") == b'"be kind"' + tools + turns
    assert data_of("/v1/completions", prompt="abc", tools=TOOLS, instructions="be kind") == b'"abc'


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_as_if_the_field_were_absent(tools: list[object] | None) -> None:
    assert data_of(CHAT, messages=TURNS, tools=tools) == data_of(CHAT, messages=TURNS)


def test_a_further_turn_begins_with_the_data_of_the_one_before() -> None:
    for leading in ({}, {"tools": TOOLS}):
        assert data_of(CHAT, messages=TURNS, **leading).startswith(data_of(CHAT, messages=TURNS[:1], **leading))


def test_tools_and_instructions_count_as_prompt() -> None:
    parsed = PARSER.parse(RESPONSES, encode(model="m", input="x" * 38, instructions="y" * 78))
    assert parsed.prompt is not None
    assert parsed.prompt.tokens == 30


@pytest.mark.parametrize(
    ("path", "fields", "problem"),
    [
        pytest.param(
            CHAT, {"model": "m"}, "invalid chat completions request: must have valid messages field", id="chat"
        ),
        pytest.param(
            CHAT,
            {"model": "m", "messages": []},
            "invalid chat completions request: must have valid messages field",
            id="chat without a message",
        ),
        pytest.param(
            "/v1/completions", {"model": "m"}, "invalid completions request: must have prompt field", id="text"
        ),
        pytest.param("/v1/embeddings", {"model": "m"}, "invalid embeddings request: must have input field", id="embed"),
        pytest.param(
            "/v1/responses", {"model": "m"}, "invalid responses request: must have input field", id="responses"
        ),
        pytest.param(
            "/v1/conversations", {"model": "m"}, "invalid conversations request: must have items field", id="items"
        ),
        pytest.param("/else", {"model": "m"}, "invalid completions request: must have prompt field", id="other path"),
        pytest.param("/v1/completions", {"prompt": "x"}, "model not found in request body", id="no model"),
        pytest.param(
            "/v1/completions", {"prompt": "x", "model": ""}, "model not found in request body", id="empty model"
        ),
    ],
)
def test_a_missing_field_is_named(path: str, fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PARSER.parse(path, msgspec.json.encode(fields))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no healthy upstream", id="text"),
        pytest.param(b'["a"]', id="an array"),
        pytest.param(b'{"model": 5, "prompt": "x"}', id="model is a number"),
        pytest.param(b'{"model": "m", "prompt": "x"', id="cut off"),
        pytest.param(b'{"model":"m","prompt":' + b"[" * 200_000, id="nested 200,000 deep"),
    ],
)
def test_a_body_that_is_not_a_request_is_an_error_for_the_client(body: bytes) -> None:
    with pytest.raises(ValueError, match="error unmarshaling request bodyMap: "):
        PARSER.parse("/v1/completions", body)


@given(st.binary(max_size=200))
def test_any_bytes_either_parse_or_raise_a_value_error(body: bytes) -> None:
    try:
        parsed = PARSER.parse("/v1/completions", body)
    except ValueError:
        return
    assert parsed.model


def test_one_more_turn_keeps_the_prompt_as_a_prefix() -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    first = PARSER.parse(CHAT, encode(model="m", messages=turns)).prompt
    second = PARSER.parse(CHAT, encode(model="m", messages=[*turns, {"role": "user", "content": "three"}])).prompt
    assert first is not None
    assert second is not None
    assert second.data.startswith(first.data)


def test_token_ids_are_counted_exactly() -> None:
    prompt = PARSER.parse("/v1/completions", encode(model="m", prompt=[1, 2, 3, 40])).prompt
    assert prompt is not None
    assert prompt.tokens == 4


def test_rewriting_the_model_keeps_every_other_byte_of_meaning() -> None:
    body = b'{ "z": 1.10, "model": "a", "prompt": "\\u00e9 <b>", "big": 12345678901234567890123 }'
    rewritten = PARSER.rewrite_model(body, 'b"c')
    assert rewritten == b'{"z":1.10,"model":"b\\"c","prompt":"\\u00e9 <b>","big":12345678901234567890123}'


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        pytest.param(
            encode(usage={"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}),
            Usage(5, 2, 4),
            id="chat",
        ),
        pytest.param(
            encode(usage={"prompt_tokens": 5, "completion_tokens": 2}), Usage(5, 2, None), id="no cache count"
        ),
        pytest.param(
            encode(type="response.completed", response={"usage": {"input_tokens": 3, "output_tokens": 1}}),
            Usage(3, 1, None),
            id="responses event",
        ),
        pytest.param(encode(usage=None), None, id="null"),
        pytest.param(b"[DONE]", None, id="end of stream"),
        pytest.param(b'{"usage": "many"}', None, id="wrong type"),
        pytest.param(encode(usage={"prompt_tokens": -5}), Usage(0, 0, None), id="negative"),
    ],
)
def test_usage_is_read_in_each_form(body: bytes, usage: Usage | None) -> None:
    assert PARSER.usage(body) == usage
