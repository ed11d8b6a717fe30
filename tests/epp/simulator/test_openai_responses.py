import json

from turnout.epp.simulator.openai_responses import ResponseFormat, usage_of
from turnout.epp.simulator.tokens import tokenize


def completion() -> ResponseFormat:
    return ResponseFormat("completion", "cmpl-1", 5, 'a "model"', tokenize(" one two thr"), "length")


def test_each_token_is_one_valid_event_however_they_are_batched() -> None:
    stream = completion().stream()
    at_once = stream.tokens(0, 3)
    assert at_once == stream.tokens(0, 1) + stream.tokens(1, 3)
    events = [json.loads(event.removeprefix("data: ")) for event in at_once.decode().split("\n\n")[:-1]]
    assert [event["choices"][0]["text"] for event in events] == [" one", " two", " thr"]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "length"]
    assert {event["model"] for event in events} == {'a "model"'}


def test_the_usage_event_has_no_choices() -> None:
    event = json.loads(completion().stream().usage(usage_of(3, 2, 1)).removeprefix(b"data: "))
    assert event["choices"] == []
    assert event["usage"]["total_tokens"] == 5


def test_only_a_chat_opens_with_a_role() -> None:
    assert completion().stream().opening() == b""
    chat = ResponseFormat("chat", "chatcmpl-1", 5, "m", tokenize(" one"), "stop")
    opening = json.loads(chat.stream().opening().removeprefix(b"data: "))
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert json.loads(chat.whole(usage_of(1, 1, 0)))["choices"][0]["message"]["content"] == " one"
