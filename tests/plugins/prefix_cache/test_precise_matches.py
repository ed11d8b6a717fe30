import pytest

from plugins.prefix_cache.events import ids, payload, stored
from plugins.prefix_cache.test_engine_index import A, B, C, following, hear
from turnout.plugins.prefix_cache.keys import PrefixMatches
from turnout.plugins.prefix_cache.precise_matches import chains_of, join
from turnout.plugins.tokens.keys import MultimodalContent, TokenizedPrompt

PROMPT = TokenizedPrompt(ids(2, 3, 4, 5, 6, 7, 8))  # the blocks 1, 2, 3 of two tokens, and one token more
NOTHING = PrefixMatches({}, 0, 64)


@pytest.mark.parametrize(
    ("tokens", "reusable"),
    [
        pytest.param(1, 0, id="one token is always computed"),
        pytest.param(4, 1, id="the last token of whole blocks is computed again, and its block with it"),
        pytest.param(5, 2, id="whole blocks and a rest"),
    ],
)
def test_engines_take_from_their_cache_what_lies_before_the_last_token(tokens: int, reusable: int) -> None:
    (chain,) = chains_of(TokenizedPrompt(ids(*range(tokens))), "", "", [2], 1000)
    assert (len(chain.keys), chain.reusable) == (tokens // 2, reusable)


def test_a_prompt_has_a_chain_for_each_block_size_up_to_the_limit() -> None:
    chains = chains_of(TokenizedPrompt(ids(*range(100))), "", "", [2, 10], 40)
    assert [(chain.block_size, len(chain.keys)) for chain in chains] == [(2, 20), (10, 4)]


def test_an_image_changes_the_blocks_that_it_lies_in_and_all_after_them() -> None:
    plain = chains_of(TokenizedPrompt(ids(*range(10))), "", "", [2], 100)[0].keys
    content = [MultimodalContent("hash", 3, 3)]  # the tokens 3, 4, 5: in blocks 1 and 2
    image = chains_of(TokenizedPrompt(ids(*range(10)), content), "", "", [2], 100)[0].keys
    assert [left == right for left, right in zip(plain, image, strict=True)] == [True, False, False, False, False]
    other = chains_of(TokenizedPrompt(ids(*range(10)), [MultimodalContent("other", 3, 3)]), "", "", [2], 100)[0].keys
    assert set(image[1:]).isdisjoint(other)
    far = [MultimodalContent("hash", 10**12, 10**12)]
    assert chains_of(TokenizedPrompt(ids(*range(10)), far), "", "", [2], 100)[0].keys == plain


def test_events_say_what_believed_endpoints_hold_and_guesses_what_others_do() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([1, 2])))
    guessed = PrefixMatches({"default/a": 4, "default/b": 2, "default/c": 4}, 4, 64)
    chains = chains_of(PROMPT, "", "", index.block_sizes([A, B, C]), 1000)
    matches = join(index, chains, guessed, [A, B, C], 7, 16)
    assert matches == PrefixMatches({"default/a": 2, "default/b": 1, "default/c": 3}, 3, 2)


def test_where_the_history_is_incomplete_the_larger_of_both_counts() -> None:
    index = following(A)
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.connected(0.0))
    index.act(followed, followed.stream.replayed([(5, payload(stored([1])))], 0.0))
    chains = chains_of(PROMPT, "", "", [2], 1000)
    assert join(index, chains, NOTHING, [A], 7, 16).blocks == {"default/a": 1}
    assert join(index, chains, PrefixMatches({"default/a": 4}, 4, 64), [A], 7, 16).blocks == {"default/a": 3}


def test_engines_with_other_block_sizes_are_counted_in_blocks_of_the_smallest() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([0, 1, 2], size=2)))
    hear(index, B, payload(stored([0], size=6)))
    chains = chains_of(TokenizedPrompt(ids(*range(7))), "", "", index.block_sizes([A, B]), 1000)
    assert join(index, chains, NOTHING, [A, B], 7, 16) == PrefixMatches({"default/a": 3, "default/b": 3}, 3, 2)


def test_before_any_event_guesses_are_counted_in_blocks_of_the_configured_size() -> None:
    index = following(A)
    guessed = PrefixMatches({"default/a": 1}, 2, 64)
    assert join(index, [], guessed, [A], 100, 16) == PrefixMatches({"default/a": 3}, 6, 16)
    assert join(index, [], NOTHING, [A], 0, 16) == PrefixMatches({}, 0, 16)
