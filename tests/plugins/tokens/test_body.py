import json
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.tokens.body import pack, read_body, shortened
from turnout.plugins.tokens.problems import NoTokenIdsError

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def completion_key(model: str = "m", **fields: object) -> bytes:
    return read_body(COMPLETIONS, body(**fields)).key(model)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/v1/completions", "completions", id="completions"),
        pytest.param("/v1/chat/completions", "chat", id="chat"),
        pytest.param("/openai/v1/chat/completions/?a=b", "chat", id="chat behind a prefix, with a query"),
        pytest.param("/v1/chat/completions/render", "chat", id="a request to render a chat"),
    ],
)
def test_the_path_tells_the_kind_of_body(path: str, kind: str) -> None:
    assert read_body(path, body(prompt="x", messages=HELLO)).kind == kind


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        pytest.param("/v1/embeddings", body(input="x"), "unsupported", id="another API"),
        pytest.param("/v1/subcompletions", body(prompt="x"), "unsupported", id="a path that only ends alike"),
        pytest.param(COMPLETIONS, b"{", "refused", id="no JSON"),
        pytest.param(COMPLETIONS, b"[1]", "refused", id="no object"),
        pytest.param(COMPLETIONS, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "refused", id="nested deeply"),
        pytest.param(COMPLETIONS, body(messages=HELLO), "unsupported", id="no prompt"),
        pytest.param(CHAT, body(messages=None), "unsupported", id="messages are null"),
    ],
)
def test_a_body_without_a_prompt_is_a_problem(path: str, content: bytes, reason: str) -> None:
    with pytest.raises(NoTokenIdsError) as caught:
        read_body(path, content)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        pytest.param("[1,2,4294967295]", [1, 2, 4294967295], id="a list of ids"),
        pytest.param(" [ \n[1 ,2] ] ", [1, 2], id="a list of one list, with spaces"),
        pytest.param('"1,2"', None, id="a text"),
        pytest.param('["1"]', None, id="a list of texts"),
    ],
)
def test_token_ids_of_the_client_are_taken_as_they_are(raw: str, ids: list[int] | None) -> None:
    given_ids = read_body(COMPLETIONS, b'{"prompt":' + raw.encode() + b"}").given_ids()
    assert given_ids == (None if ids is None else array("I", ids).tobytes())


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        pytest.param([[1], [2]], "there are 2 prompts", id="two prompts"),
        pytest.param([[]], "there are no token ids", id="an empty prompt"),
        pytest.param([1, 2**32], "a token id is not within 0 and 2^32 - 1", id="an id above the range"),
        pytest.param([1, -1], "a token id is not within 0 and 2^32 - 1", id="an id below the range"),
        pytest.param([1, "a"], "Expected `int`, got `str`", id="a text among the ids"),
        pytest.param([1.5], "Expected `int`, got `float`", id="a fraction"),
    ],
)
def test_ids_that_no_single_prompt_can_have_are_a_problem(prompt: object, problem: str) -> None:
    with pytest.raises(NoTokenIdsError, match="the prompt holds no token ids of one prompt: ") as caught:
        read_body(COMPLETIONS, body(prompt=prompt)).given_ids()
    assert problem in str(caught.value)


def test_ids_that_the_engine_is_told_to_cut_are_not_taken_as_they_are() -> None:
    assert read_body(COMPLETIONS, body(prompt=[1, 2], truncate_prompt_tokens=1)).given_ids() is None
    assert read_body(COMPLETIONS, body(prompt=[1, 2], truncate_prompt_tokens=None)).given_ids() is not None


def test_a_chat_holds_no_given_ids() -> None:
    assert read_body(CHAT, body(messages=[1], prompt=[1])).given_ids() is None


@pytest.mark.parametrize(
    ("prompt", "text"), [pytest.param("é", "é", id="a text"), pytest.param(["x"], "x", id="a list of one text")]
)
def test_the_text_of_a_completion(prompt: object, text: str) -> None:
    assert read_body(COMPLETIONS, body(prompt=prompt)).text() == text


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('["a","b"]', id="two texts"),
        pytest.param("[]", id="no text"),
        pytest.param("7", id="a number"),
        pytest.param(r'"\ud800"', id="half a surrogate pair"),
    ],
)
def test_a_prompt_that_is_not_one_text_is_a_problem(raw: str) -> None:
    with pytest.raises(NoTokenIdsError):
        read_body(COMPLETIONS, b'{"prompt":' + raw.encode() + b"}").text()


def test_keys_are_equal_when_only_sampling_differs() -> None:
    one = read_body(COMPLETIONS, body(prompt="x", temperature=0, stream=True, model="a", cache_salt="s"))
    other = read_body(COMPLETIONS, body(model="b", prompt="x", max_tokens=5))
    assert one.key("m") == other.key("m")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(completion_key(prompt="y"), id="another prompt"),
        pytest.param(completion_key(model="n", prompt="x"), id="another model"),
        pytest.param(completion_key(prompt="x", add_special_tokens=False), id="other special tokens"),
        pytest.param(completion_key(prompt="x", unheard_of=1), id="a field that nobody knows"),
        pytest.param(read_body(CHAT, body(messages="x")).key("m"), id="a chat"),
    ],
)
def test_keys_differ_when_the_tokens_may(key: bytes) -> None:
    assert key != completion_key(prompt="x")


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_different_fields_have_different_keys(some: dict[str, str], others: dict[str, str]) -> None:
    mine, theirs = ({f"x{name}": value for name, value in fields.items()} for fields in (some, others))
    assert (completion_key(prompt="p", **mine) == completion_key(prompt="p", **theirs)) == (
        list(mine.items()) == list(theirs.items())
    )


@pytest.mark.parametrize(
    ("part", "has_media", "is_lasting"),
    [
        pytest.param({"type": "text", "text": "http"}, False, True, id="text with an address"),
        pytest.param({"type": "text", "text": 'an "image_url"'}, False, True, id="text that speaks of an image"),
        pytest.param({"image_url": "data:AAAA"}, True, True, id="an image whose part has no type"),
        pytest.param({"type": "image_url", "image_url": {"url": "http://a/b.png"}}, True, False, id="an address"),
        pytest.param({"type": "image_url", "image_url": {"url": "data:AAAA"}}, True, True, id="an embedded image"),
        pytest.param({"type": "video_url", "video_url": {"url": "data:AAAA"}}, True, True, id="a video"),
        pytest.param({"type": "input_audio", "input_audio": {"data": "AAAA"}}, True, True, id="sound"),
    ],
)
def test_media_in_a_chat_are_seen(part: object, has_media: bool, is_lasting: bool) -> None:
    read = read_body(CHAT, body(messages=[{"role": "user", "content": [part]}]))
    assert (read.has_media, read.is_lasting) == (has_media, is_lasting)


def test_fields_that_are_null_are_not_there() -> None:
    read = read_body(CHAT, body(messages=HELLO, tools=None, documents=[], other=1))
    assert read.having({"tools", "documents", "messages"}) == ["messages", "documents"]


def test_the_prompt_is_kept_as_raw_json() -> None:
    assert read_body(COMPLETIONS, body(prompt="abc", other="x" * 100)).prompt == b'"abc"'


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_packed_ids_are_little_endian_numbers_of_four_bytes(ids: list[int]) -> None:
    packed = pack(ids)
    assert [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)] == ids


def test_a_long_text_is_shortened_to_one_line() -> None:
    assert shortened("a\nb\t c") == "a b c"
    assert shortened("x" * 1000) == "x" * 200 + "..."


def test_raw_fields_keep_their_bytes() -> None:
    read = read_body(COMPLETIONS, b'{"prompt":"a" , "tools": [1, 2]}')
    assert dict(read.fields) == {"prompt": msgspec.Raw(b'"a"'), "tools": msgspec.Raw(b"[1, 2]")}
