import pytest

from turnout.epp.simulator.openai_requests import RequestError, parse_chat, parse_completion
from turnout.epp.simulator.tokens import tokenize


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        pytest.param('"abcdefgh"', tokenize("abcdefgh").tolist(), id="a text"),
        pytest.param('["abcd"]', tokenize("abcd").tolist(), id="a list of one text"),
        pytest.param("[1,2,3]", [1, 2, 3], id="token ids"),
        pytest.param("[[1,2,3]]", [1, 2, 3], id="a list of one list of token ids"),
    ],
)
def test_a_prompt_is_read(prompt: str, tokens: list[int]) -> None:
    assert parse_completion(f'{{"prompt":{prompt}}}'.encode()).prompt.tolist() == tokens


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param('{"prompt":""}', "at least one token", id="empty text"),
        pytest.param('{"prompt":[]}', "at least one token", id="empty list"),
        pytest.param('{"prompt":[[1],[2]]}', "at most 1 prompt, got a list of 2", id="two lists of token ids"),
        pytest.param('{"prompt":["a",1]}', "at most 1 prompt, got a list of 2", id="mixed list"),
        pytest.param('{"prompt":"x","n":2}', "n must be 1, got 2", id="several answers"),
        pytest.param('{"prompt":"x","stream_options":{}}', "needs stream", id="stream options without a stream"),
        pytest.param("[" * 100_000, "request body", id="deep nesting"),
        pytest.param('{"prompt":"\\ud800"}', "request body", id="lone surrogate"),
    ],
)
def test_a_wrong_completion_is_refused(body: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_completion(body.encode())


def test_a_part_that_is_not_text_is_refused() -> None:
    body = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}'
    with pytest.raises(RequestError, match="must be of type text, got 'image_url'"):
        parse_chat(body)


def test_text_parts_are_the_same_as_one_text() -> None:
    parts = b'{"messages":[{"role":"user","content":[{"type":"text","text":"ab"},{"type":"text","text":"cd"}]}]}'
    assert parse_chat(parts).prompt == parse_chat(b'{"messages":[{"role":"user","content":"abcd"}]}').prompt


@pytest.mark.parametrize(
    ("body", "context", "expected"),
    [
        pytest.param('{"messages":[{"role":"user"}]}', 1_000, (128, "stop"), id="chat default"),
        pytest.param('{"messages":[{"role":"user"}],"max_tokens":7}', 1_000, (7, "length"), id="chat limit"),
        pytest.param('{"messages":[{"role":"user"}]}', 50, (41, "length"), id="chat default beyond the context"),
    ],
)
def test_the_length_of_a_chat_answer(body: str, context: int, expected: tuple[int, str]) -> None:
    assert parse_chat(body.encode()).output_length(context) == expected


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    with pytest.raises(RequestError, match="maximum context length is 2 tokens, but 2 prompt tokens"):
        parse_completion(b'{"prompt":[1,2]}').output_length(2)
