import random

from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.common_prefix import MAX_BLOCKS, CommonPrefix

SYSTEM = [1, 2, 3]


def test_what_all_prompts_share_is_common_and_what_is_their_own_is_not() -> None:
    prefix = CommonPrefix()
    found = [prefix.note([*SYSTEM, 1_000 + number]) for number in range(200)]
    assert found[:64] == [0] * 64
    assert found[100:] == [3] * 100


def test_of_a_conversation_that_goes_on_nothing_but_the_shared_beginning_is_common() -> None:
    prefix = CommonPrefix()
    for number in range(200):
        prefix.note([*SYSTEM, number % 10, 100 + number])
    assert prefix.note([*SYSTEM, 5, 105, 999]) == 3


def test_a_prefix_of_a_quarter_of_the_prompts_is_not_common() -> None:
    prefix, draw = CommonPrefix(), random.Random(1)
    found = [prefix.note([draw.randrange(4), 1_000 + number]) for number in range(2_000)]
    assert set(found) == {0}


def test_a_prefix_of_most_prompts_is_common_to_those_that_have_it() -> None:
    prefix, draw = CommonPrefix(), random.Random(1)
    for number in range(500):
        prefix.note([*SYSTEM, number] if draw.random() < 0.8 else [9_000 + number])
    assert prefix.note([*SYSTEM, 77]) == 3
    assert prefix.note([5, 6, 7]) == 0


def test_another_system_prompt_takes_the_place_of_the_first() -> None:
    prefix = CommonPrefix()
    for number in range(200):
        prefix.note([*SYSTEM, number])
    found = [prefix.note([7, 8, 10_000 + number]) for number in range(400)]
    assert found[-1] == 2


def test_a_prompt_without_blocks_changes_nothing() -> None:
    prefix = CommonPrefix()
    for number in range(100):
        prefix.note([*SYSTEM, number])
    assert prefix.note([]) == 0
    assert prefix.note([*SYSTEM, 5_000]) == 3


@given(texts=st.lists(st.text("ab", max_size=6), max_size=300))
def test_no_more_is_common_than_the_prompt_has_and_what_is_kept_is_bounded(texts: list[str]) -> None:
    prefix = CommonPrefix()
    for text in texts:
        assert 0 <= prefix.note(chain(text)) <= len(text)
        shares = [step.share for step in prefix._steps]
        assert shares == sorted(shares, reverse=True)
        assert [step.end for step in prefix._steps] == sorted({step.end for step in prefix._steps})
    for number in range(10_000, 20_000, 100):
        prefix.note(list(range(number)))
    assert len(prefix._chain) <= MAX_BLOCKS
    assert len(prefix._steps) < 1_000


def chain(text: str) -> list[int]:
    """Names that stand for whole prefixes, as block hashes do."""
    return [hash(text[: end + 1]) for end in range(len(text))]
