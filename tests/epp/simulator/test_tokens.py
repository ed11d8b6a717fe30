from array import array

from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.simulator.tokens import chat_tokens, detokenize, generate_words, tokenize

texts = st.text(max_size=40)


def test_four_bytes_are_one_token() -> None:
    assert tokenize("abcd").tolist() == [0x64636261]


def test_a_partial_token_differs_from_every_full_one() -> None:
    assert tokenize("ab").tolist() == [0xFFFF6261]


@given(texts, texts)
def test_a_common_prefix_of_two_texts_is_a_common_prefix_of_their_tokens(prefix: str, rest: str) -> None:
    whole = len(prefix.encode("utf-8", "replace")) // 4
    assert tokenize(prefix + rest)[:whole] == tokenize(prefix)[:whole]


@given(st.integers(min_value=0, max_value=2**64 - 1), st.integers(min_value=1, max_value=50))
def test_generated_tokens_survive_the_way_to_text_and_back(seed: int, count: int) -> None:
    words = generate_words(seed, count)
    assert len(words) == count
    assert tokenize(detokenize(words)) == words


def test_the_same_seed_generates_the_same_tokens() -> None:
    assert generate_words(1, 20) == generate_words(1, 20) != generate_words(2, 20)


@given(st.lists(st.tuples(st.sampled_from(["system", "user"]), texts), min_size=1, max_size=4), texts)
def test_the_next_turn_of_a_chat_extends_the_last_prompt_and_its_answer(
    messages: list[tuple[str, str]], question: str
) -> None:
    answer = generate_words(3, 10)
    prompt = chat_tokens(messages) + answer
    following = chat_tokens([*messages, ("assistant", detokenize(answer)), ("user", question)])
    assert following[: len(prompt)] == prompt


def test_a_lone_surrogate_is_tokenized_as_a_question_mark() -> None:
    assert tokenize("\ud800abc") == tokenize("?abc") == array("I", tokenize("?abc"))
