import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.tokens.answers import rendered, tokenized
from turnout.plugins.tokens.body import Kind
from turnout.plugins.tokens.keys import MultimodalContent, TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError

# An image before a sound; the engine lists them by kind.
FEATURES = {
    "mm_hashes": {"audio": ["cc"], "image": ["aa", "bb"]},
    "mm_placeholders": {
        "audio": [{"offset": 8, "length": 2}],
        "image": [{"offset": 1, "length": 3}, {"offset": 4, "length": 3}],
    },
    "kwargs_data": None,
}


def ids(*numbers: int) -> bytes:
    return array("I", numbers).tobytes()


def answer(**fields: object) -> bytes:
    return json.dumps({"request_id": "chatcmpl-1", "sampling_params": {}, **fields}).encode()


def test_a_chat_is_answered_with_one_prompt() -> None:
    assert rendered("chat", answer(token_ids=[1, 2], features=None)) == TokenizedPrompt(ids(1, 2))


def test_a_completion_is_answered_with_a_list_of_one() -> None:
    assert rendered("completions", b"[" + answer(token_ids=[3]) + b"]") == TokenizedPrompt(ids(3))


def test_contents_are_listed_in_the_order_of_their_places() -> None:
    prompt = rendered("chat", answer(token_ids=list(range(10)), features=FEATURES))
    assert prompt.multimodal == (
        MultimodalContent("aa", 1, 3),
        MultimodalContent("bb", 4, 3),
        MultimodalContent("cc", 8, 2),
    )


def test_several_prompts_are_not_supported() -> None:
    with pytest.raises(NoTokenIdsError, match="the request holds 2 prompts") as caught:
        rendered("completions", b"[" + answer(token_ids=[3]) + b"," + answer(token_ids=[4]) + b"]")
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="nested deeply"),
        pytest.param(answer(), id="no ids"),
        pytest.param(answer(token_ids=[]), id="an empty list of ids"),
        pytest.param(answer(token_ids="12"), id="ids as text"),
        pytest.param(answer(token_ids=[1, "2"]), id="text among the ids"),
        pytest.param(answer(token_ids=[-1]), id="an id below the range"),
        pytest.param(answer(token_ids=[2**70]), id="an id above the range"),
        pytest.param(answer(token_ids=[1], features={"mm_hashes": {}}), id="features without places"),
        pytest.param(answer(token_ids=list(range(9)), features=FEATURES), id="a place behind the end"),
        pytest.param(
            answer(token_ids=[1], features={"mm_hashes": {"image": ["a"]}, "mm_placeholders": {"image": []}}),
            id="a content without a place",
        ),
        pytest.param(
            answer(token_ids=[1], features={"mm_hashes": {"image": []}, "mm_placeholders": {"audio": []}}),
            id="hashes and places of different kinds",
        ),
        pytest.param(
            answer(
                token_ids=[1, 2],
                features={
                    "mm_hashes": {"image": ["a"]},
                    "mm_placeholders": {"image": [{"offset": -1, "length": 1}]},
                },
            ),
            id="a place before the start",
        ),
        pytest.param(
            answer(
                token_ids=[1, 2],
                features={
                    "mm_hashes": {"image": ["a", "b"]},
                    "mm_placeholders": {"image": [{"offset": 0, "length": 2}, {"offset": 1, "length": 1}]},
                },
            ),
            id="places that overlap",
        ),
    ],
)
def test_an_answer_in_another_format_is_a_failure_of_the_server(content: bytes) -> None:
    with pytest.raises(NoTokenIdsError, match="its answer is not in the format") as caught:
        rendered("chat", content)
    assert caught.value.reason == "failed"


def test_an_answer_of_tokenize_has_its_own_format() -> None:
    content = b'{"count":2,"max_model_len":2048,"tokens":[5,6],"token_strs":null}'
    assert tokenized(content) == TokenizedPrompt(ids(5, 6))
    with pytest.raises(NoTokenIdsError, match="its answer is not in the format"):
        tokenized(answer(token_ids=[1]))


@given(st.binary(), st.sampled_from(["chat", "completions"]))
def test_bytes_of_any_kind_are_a_problem_and_no_crash(content: bytes, kind: Kind) -> None:
    with pytest.raises(NoTokenIdsError):
        rendered(kind, content)
