import asyncio
from array import array
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from plugins.tokens.tokenizer_files import BEGIN, END, START, byte_level, with_a_space_before_words
from turnout.plugins.tokens.segments import SegmentTokenizer

WANTED = {START, END}
TOKENIZER = byte_level()


class Inline(Executor):
    """Does the work at once, and counts it."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.calls += 1
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(fn, *args, **kwargs)


@pytest.fixture
def executor() -> Inline:
    return Inline()


def whole(tokenizer: Tokenizer, text: str) -> bytes:
    return array("I", tokenizer.encode(text, add_special_tokens=False).ids).tobytes()


def encode(segments: SegmentTokenizer, text: str) -> bytes:
    return asyncio.run(segments.encode(text))


pieces = st.sampled_from(
    [START, END, BEGIN, "<|start", "|>", "<|", "hello", " ", "\n", "user\n", "é", "e\u0301", "漢", "the quick"]
)


@settings(deadline=None)
@given(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=30))
def test_parts_get_the_ids_of_the_whole(parts: list[str]) -> None:
    segments = SegmentTokenizer(TOKENIZER, WANTED, 100_000, Inline())
    text = "".join(parts)
    assert segments.is_split
    assert encode(segments, text) == whole(TOKENIZER, text)
    assert encode(segments, text) == whole(TOKENIZER, text)


def test_a_text_that_goes_on_costs_its_new_part(executor: Inline) -> None:
    segments = SegmentTokenizer(TOKENIZER, WANTED, 100_000, executor)
    first = f"{START}user\nhello{END}"
    encode(segments, first)
    before = segments.tokenized_bytes
    longer = f"{first}{START}the lazy dog"
    assert encode(segments, longer) == whole(TOKENIZER, longer)
    assert segments.tokenized_bytes - before == len(whole(TOKENIZER, "the lazy dog"))
    assert segments.found_bytes > 0


def test_what_does_not_fit_is_tokenized_again(executor: Inline) -> None:
    segments = SegmentTokenizer(TOKENIZER, WANTED, 0, executor)
    for _ in range(2):
        encode(segments, f"{START}hello")
    assert segments.tokenized_bytes == 2 * len(whole(TOKENIZER, "hello"))
    assert segments.used_bytes == 0


def test_long_texts_leave_the_event_loop_free(executor: Inline) -> None:
    segments = SegmentTokenizer(TOKENIZER, WANTED, 100_000, executor)
    encode(segments, "x" * 2048)
    assert executor.calls == 0
    encode(segments, "y" * 2049)
    assert executor.calls == 1


@pytest.mark.parametrize(
    ("tokenizer", "wanted"),
    [
        pytest.param(TOKENIZER, set[str](), id="nothing to split at"),
        pytest.param(TOKENIZER, {"hello"}, id="a word that is no special token"),
        pytest.param(with_a_space_before_words(), WANTED, id="parts that begin otherwise than the whole"),
        pytest.param(byte_level((START, f"{START}{END}", END)), {START}, id="a token that is a part of another"),
        pytest.param(byte_level((START, "x<|st", END)), {START}, id="a token that overlaps with another"),
        pytest.param(byte_level((AddedToken(START, special=True, rstrip=True),)), {START}, id="one that eats spaces"),
        pytest.param(byte_level((AddedToken(START, special=True, normalized=True),)), {START}, id="a normalized one"),
    ],
)
def test_a_text_that_cannot_be_split_with_certainty_is_tokenized_as_a_whole(
    tokenizer: Tokenizer, wanted: set[str], executor: Inline
) -> None:
    segments = SegmentTokenizer(tokenizer, wanted, 100_000, executor)
    text = f"{START} hello{END}{START}hello"
    assert not segments.is_split
    assert encode(segments, text) == whole(tokenizer, text)
    assert segments.used_bytes == 0
