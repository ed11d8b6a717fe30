import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Prompt
from turnout.plugins.prefix_cache.blocks import chain_root, hash_bytes

BLOCK = 256  # bytes of 64 tokens


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
