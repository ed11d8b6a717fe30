import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from plugins.tokens.tokenizer_files import (
    BEGIN,
    END,
    START,
    byte_level,
    with_a_space_before_words,
    write_tokenizer,
)
from turnout.framework import REQUEST_BODY, Reading
from turnout.framework.testing import make_request, make_state
from turnout.plugins.tokens import local
from turnout.plugins.tokens.body import read_body
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT
from turnout.plugins.tokens.local import LocalTokenizer
from turnout.plugins.tokens.problems import NoTokenIdsError
from turnout.plugins.tokens.producer import TokenizerFiles, TokenProducer

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
HELLO_TEXT = f"{START}user\nhello{END}\n{START}assistant\n"
TOKENIZER = byte_level()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path)


async def ask(local_tokenizer: LocalTokenizer, fields: dict[str, Any], path: str = CHAT, now: float = 0.0) -> bytes:
    body = read_body(path, json.dumps(fields).encode())
    return (await local_tokenizer.token_ids(body, "m", make_request(), (), now)).token_ids


async def problem(local_tokenizer: LocalTokenizer, fields: dict[str, Any], path: str = CHAT, now: float = 0.0) -> str:
    with pytest.raises(NoTokenIdsError) as caught:
        await ask(local_tokenizer, fields, path, now)
    return f"{caught.value.reason}: {caught.value}"


def whole(text: str, tokenizer: Tokenizer = TOKENIZER, *, special: bool = False) -> bytes:
    return array("I", tokenizer.encode(text, add_special_tokens=special).ids).tobytes()


async def test_a_chat_is_written_by_the_template_without_further_special_tokens(folder: Path) -> None:
    tokenizer = LocalTokenizer(folder, 100_000)
    assert await ask(tokenizer, HELLO) == whole(HELLO_TEXT)
    assert await ask(tokenizer, {**HELLO, "add_special_tokens": True}) == whole(HELLO_TEXT, special=True)
    assert await ask(tokenizer, {**HELLO, "add_generation_prompt": False}) == whole(f"{START}user\nhello{END}\n")


async def test_a_completion_begins_with_the_special_token_of_the_tokenizer(folder: Path) -> None:
    tokenizer = LocalTokenizer(folder / "tokenizer.json", 100_000)
    assert await ask(tokenizer, {"prompt": "hello"}, COMPLETIONS) == whole(f"{BEGIN}hello")
    assert await ask(tokenizer, {"prompt": ["hello"], "add_special_tokens": False}, COMPLETIONS) == whole("hello")
    assert await ask(tokenizer, {"prompt": f"a{END}b{START}"}, COMPLETIONS) == whole(f"{BEGIN}a{END}b{START}")


async def test_a_long_chat_has_the_same_ids_as_a_short_one_has(folder: Path) -> None:
    tokenizer = LocalTokenizer(folder, 10_000_000)
    messages = [{"role": "user", "content": f"hello {n} " * 100} for n in range(100)]
    text = "".join(f"{START}user\n{message['content']}{END}\n" for message in messages)
    assert await ask(tokenizer, {"messages": messages}) == whole(f"{text}{START}assistant\n")


async def test_a_chat_that_goes_on_is_tokenized_where_it_is_new(folder: Path) -> None:
    tokenizer = LocalTokenizer(folder, 100_000)
    await ask(tokenizer, HELLO)
    before = tokens(tokenizer.readings(), "tokenized")
    answer = {"role": "assistant", "content": "the quick brown fox"}
    await ask(tokenizer, {"messages": [*HELLO["messages"], answer, *HELLO["messages"]]})
    new = len(whole("assistant\nthe quick brown fox")) // 4
    assert tokens(tokenizer.readings(), "tokenized") - before == new
    assert tokens(tokenizer.readings(), "remembered") > new


def tokens(readings: Any, result: str) -> float:
    found: list[Reading] = [reading for reading in readings if reading.labels.get("result") == result]
    (reading,) = found
    assert reading.name == "token_producer_tokens_total"
    value = getattr(reading, "value", None)
    assert isinstance(value, int | float)
    return value


@pytest.mark.parametrize(
    ("fields", "path", "text"),
    [
        pytest.param({"messages": []}, CHAT, "refused: the chat has no messages", id="no messages"),
        pytest.param(
            {**HELLO, "chat_template": "x"},
            CHAT,
            "unsupported: only the engine knows the tokens with chat_template",
            id="a template of the client's",
        ),
        pytest.param(
            {"prompt": "x", "truncate_prompt_tokens": 1},
            COMPLETIONS,
            "unsupported: only the engine knows the tokens with truncate_prompt_tokens",
            id="a cut",
        ),
        pytest.param({"prompt": ["a", "b"]}, COMPLETIONS, "unsupported: the request holds 2 prompts", id="two prompts"),
        pytest.param(
            {"prompt": "", "add_special_tokens": False}, COMPLETIONS, "unsupported: the prompt has no tokens", id="none"
        ),
    ],
)
async def test_what_cannot_be_known_is_a_problem(folder: Path, fields: dict[str, Any], path: str, text: str) -> None:
    assert await problem(LocalTokenizer(folder, 0), fields, path) == text


async def test_without_a_template_chats_have_no_ids(tmp_path: Path) -> None:
    tokenizer = LocalTokenizer(write_tokenizer(tmp_path, chat_template=None), 0)
    expected = "unsupported: vLLM does not write chats of this model with a template of its files"
    assert await problem(tokenizer, HELLO) == expected
    assert await ask(tokenizer, {"prompt": "a"}, COMPLETIONS) == whole(f"{BEGIN}a")


async def test_chats_of_models_that_engines_write_out_by_themselves_have_no_ids(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt_oss"}')
    assert (await problem(LocalTokenizer(folder, 0), HELLO)).startswith("unsupported")


async def test_a_template_for_tools_is_used_with_tools(tmp_path: Path) -> None:
    templates = [{"name": "default", "template": "usual"}, {"name": "tool_use", "template": "with tools"}]
    tokenizer = LocalTokenizer(write_tokenizer(tmp_path, chat_template=templates), 0)
    assert await ask(tokenizer, HELLO) == whole("usual")
    assert await ask(tokenizer, {**HELLO, "tools": []}) == whole("with tools")


async def test_a_template_in_a_file_of_its_own_comes_first(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("from a file")
    assert await ask(LocalTokenizer(folder, 0), HELLO) == whole("from a file")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("for tools")
    tokenizer = LocalTokenizer(folder, 0)
    assert await ask(tokenizer, {**HELLO, "tools": []}) == whole("for tools")
    assert await ask(tokenizer, HELLO) == whole("from a file")


async def test_special_tokens_of_either_file_are_variables_of_the_template(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, chat_template="{{ bos_token }}{{ eos_token }}{{ cls_token }}")
    (folder / "special_tokens_map.json").write_text(json.dumps({"cls_token": START, "bos_token": "overruled"}))
    assert await ask(LocalTokenizer(folder, 0), HELLO) == whole(f"{BEGIN}{END}{START}")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"add_bos_token": False}, id="no beginning, where the file has one"),
        pytest.param({"add_eos_token": True}, id="an end, where the file has none"),
    ],
)
async def test_files_that_disagree_on_what_is_added_leave_completions_without_ids(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    tokenizer = LocalTokenizer(write_tokenizer(tmp_path, **config), 0)
    assert (await problem(tokenizer, {"prompt": "x"}, COMPLETIONS)).startswith("unsupported: what the tokenizer adds")
    assert await ask(tokenizer, HELLO) == whole(HELLO_TEXT)


async def test_a_tokenizer_whose_parts_differ_works_as_a_whole_and_says_so(tmp_path: Path) -> None:
    other = with_a_space_before_words()
    tokenizer = LocalTokenizer(write_tokenizer(tmp_path, other), 100_000)
    assert await ask(tokenizer, HELLO) == whole(HELLO_TEXT, other)
    assert [finding.cause for finding in tokenizer.findings(())] == ["no-prefix-tokenizations"]


async def test_a_file_that_cuts_and_fills_prompts_does_neither(tmp_path: Path) -> None:
    cutting = byte_level()
    cutting.enable_truncation(2)
    cutting.enable_padding(length=50)
    tokenizer = LocalTokenizer(write_tokenizer(tmp_path, cutting), 0)
    assert await ask(tokenizer, {"prompt": "hello there"}, COMPLETIONS) == whole(f"{BEGIN}hello there")


async def test_tokenizing_that_takes_too_long_is_skipped_for_a_while(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "TIME_LIMIT_SECONDS", 0.0)
    tokenizer = LocalTokenizer(folder, 0)
    long = {"prompt": "x" * 5000}
    for _ in range(3):
        assert await problem(tokenizer, long, COMPLETIONS) == "timeout: tokenizing took longer than 0 s"
    assert await problem(tokenizer, long, COMPLETIONS) == "skipped: tokenizing took too long lately"
    assert [finding.cause for finding in tokenizer.findings(())] == ["no-token-ids"]
    monkeypatch.setattr(local, "TIME_LIMIT_SECONDS", 60.0)
    assert len(await ask(tokenizer, long, COMPLETIONS, now=5.0)) > 0
    assert tokenizer.findings(()) == []


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        pytest.param({}, "path must name a tokenizer.json or its folder", id="nothing there"),
        pytest.param({"tokenizer_config.json": "["}, "tokenizer_config.json is no JSON object", id="no JSON"),
        pytest.param({"tokenizer_config.json": "[]"}, "tokenizer_config.json is no JSON object", id="a list"),
        pytest.param({"tokenizer_config.json": '{"chat_template": 7}'}, "chat_template: ", id="a number as a template"),
        pytest.param({"chat_template.jinja": "{% if %}"}, "the chat template is none", id="no template"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    if files:
        write_tokenizer(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=problem):
        LocalTokenizer(tmp_path, 0)


def test_a_template_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"chat_template\.jinja is no UTF-8"):
        LocalTokenizer(folder, 0)


async def test_the_producer_publishes_what_the_files_say(folder: Path) -> None:
    producer = TokenProducer(tokenizer=TokenizerFiles(str(folder)))
    state = make_state()
    state.write(REQUEST_BODY, json.dumps(HELLO).encode())
    await producer.produce(make_request(), state, ())
    assert state.read(TOKENIZED_PROMPT.of("")).token_ids == whole(HELLO_TEXT)
    assert producer.diagnose((), 0.0).findings == ()
    assert {reading.name for reading in producer.readings()} == {
        "token_producer_requests_total",
        "token_producer_cache_bytes",
        "token_producer_tokens_total",
        "token_producer_parts_bytes",
    }
