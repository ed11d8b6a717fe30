from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Prompt
from turnout.plugins.prefix_cache.blocks import by_number, chain_root, hash_bytes, hash_tokens

BLOCK = 256  # bytes of 64 tokens
ROOT = chain_root("", "")


def chain(data: bytes, model: str = "m", salt: str = "", max_blocks: int = 100) -> list[int]:
    return hash_bytes(Prompt(data, 0, salt), model, 64, max_blocks)


@pytest.mark.parametrize(
    ("size", "blocks"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(1, 1, id="less than a block is a block"),
        pytest.param(256, 1, id="one block"),
        pytest.param(257, 2, id="a rest is a block"),
        pytest.param(1024, 4, id="whole blocks"),
        pytest.param(1_000_000, 100, id="cut at the limit"),
    ],
)
def test_a_prompt_has_a_hash_for_each_block(size: int, blocks: int) -> None:
    assert len(chain(b"x" * size)) == blocks


@given(
    first=st.binary(max_size=5 * BLOCK),
    second=st.binary(max_size=5 * BLOCK),
    shared=st.binary(min_size=0, max_size=3 * BLOCK),
)
def test_two_chains_agree_exactly_as_far_as_their_prompts_do(first: bytes, second: bytes, shared: bytes) -> None:
    first, second = shared + first, shared + second
    for place, (left, right) in enumerate(zip(chain(first), chain(second), strict=False)):
        same = first[: (place + 1) * BLOCK] == second[: (place + 1) * BLOCK]
        assert (left == right) == same


def test_equal_blocks_at_different_places_have_different_hashes() -> None:
    assert len(set(chain(b"x" * BLOCK * 10))) == 10


@pytest.mark.parametrize(
    ("model", "salt"),
    [
        pytest.param("other", "", id="another model"),
        pytest.param("m", "tenant", id="another salt"),
        pytest.param("mten", "ant", id="model and salt cut elsewhere"),
    ],
)
def test_caches_that_are_not_shared_share_no_hash(model: str, salt: str) -> None:
    data = b"x" * BLOCK * 3
    others = set(chain(data)) | set(chain(data, "mt", "enant"))
    assert others & set(chain(data, model, salt)) == set()


def test_a_lone_surrogate_in_a_model_s_name_is_hashed_too() -> None:
    assert len(chain(b"x", "\ud800")) == 1


def test_the_root_stands_for_model_salt_and_adapter() -> None:
    roots = [chain_root("m", ""), chain_root("m", "s"), chain_root("m", "s", "l"), chain_root("m", "s", "k")]
    assert len({*roots, chain_root("m", "", "s"), chain_root("ms", "")}) == 6
    assert chain_root("m", "s", "") == roots[1]


def test_the_names_of_blocks_stay_what_they_were() -> None:
    assert chain_root("m", "s") == 10940531276306512716
    assert chain(b"x" * 300, "m", "s") == [2961039671468817025, 1977422636095724970]


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def test_only_full_blocks_have_keys() -> None:
    assert hash_tokens(ids(1, 2, 3), 4, ROOT) == []
    assert len(hash_tokens(ids(*range(9)), 4, ROOT)) == 2
    assert len(hash_tokens(ids(*range(9)), 4, ROOT, max_blocks=1)) == 1


def test_a_key_stands_for_everything_before_it() -> None:
    one, other = hash_tokens(ids(1, 2, 3, 4), 2, ROOT), hash_tokens(ids(9, 2, 3, 4), 2, ROOT)
    assert set(one).isdisjoint(other)
    assert hash_tokens(ids(1, 2, 5, 6), 2, ROOT)[0] == one[0]


def test_the_names_of_token_blocks_are_the_same_in_every_process() -> None:
    assert hash_tokens(ids(1, 2), 2, ROOT) == [0x2A65A555DDD27B99]


def test_other_content_in_a_block_gives_other_keys_from_there_on() -> None:
    plain = hash_tokens(ids(*range(6)), 2, ROOT)
    image = hash_tokens(ids(*range(6)), 2, ROOT, extras={1: b"hash-of-an-image"})
    assert (image[0], image[1] == plain[1], image[2] == plain[2]) == (plain[0], False, False)


def test_extras_are_kept_for_the_blocks_that_have_some() -> None:
    assert by_number([b"", b"x", b""]) == {1: b"x"}
    assert by_number([b"", b""]) == {}


@given(
    tokens=st.lists(st.integers(0, 2**32 - 1), max_size=60),
    split=st.integers(0, 10),
    size=st.integers(1, 5),
    extras=st.dictionaries(st.integers(0, 20), st.binary(min_size=1, max_size=3)),
)
def test_a_chain_can_be_continued_from_any_block(
    tokens: list[int], split: int, size: int, extras: dict[int, bytes]
) -> None:
    data = array("I", tokens).tobytes()
    whole = hash_tokens(data, size, ROOT, extras=extras)
    head = hash_tokens(data, size, ROOT, max_blocks=split, extras=extras)
    assert head == whole[: len(head)]
    later = {number - len(head): extra for number, extra in extras.items() if number >= len(head)}
    rest = hash_tokens(data[len(head) * size * 4 :], size, head[-1] if head else ROOT, extras=later)
    assert head + rest == whole
