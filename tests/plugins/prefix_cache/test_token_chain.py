from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.token_chain import by_number, token_chain, token_root

ROOT = token_root("", "")


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def test_only_full_blocks_have_keys() -> None:
    assert token_chain(ids(1, 2, 3), 4, ROOT) == []
    assert len(token_chain(ids(*range(9)), 4, ROOT)) == 2
    assert len(token_chain(ids(*range(9)), 4, ROOT, max_blocks=1)) == 1


def test_a_key_stands_for_everything_before_it() -> None:
    one, other = token_chain(ids(1, 2, 3, 4), 2, ROOT), token_chain(ids(9, 2, 3, 4), 2, ROOT)
    assert set(one).isdisjoint(other)
    assert token_chain(ids(1, 2, 5, 6), 2, ROOT)[0] == one[0]


@pytest.mark.parametrize(
    ("adapter", "salt"),
    [
        pytest.param("a", "", id="an adapter"),
        pytest.param("", "a", id="a cache salt"),
        pytest.param("a", "a", id="both"),
        pytest.param("\ud800", "", id="an adapter whose name is no Unicode"),
    ],
)
def test_caches_that_must_not_be_shared_have_roots_of_their_own(adapter: str, salt: str) -> None:
    assert token_root(adapter, salt) != ROOT
    assert token_root(adapter, salt) == token_root(adapter, salt)


def test_keys_are_the_same_in_every_process() -> None:
    assert ROOT == 0xC44BDFF4074EECDB
    assert token_chain(ids(1, 2), 2, ROOT) == [0x2A65A555DDD27B99]


def test_other_content_in_a_block_gives_other_keys_from_there_on() -> None:
    plain = token_chain(ids(*range(6)), 2, ROOT)
    image = token_chain(ids(*range(6)), 2, ROOT, extras={1: b"hash-of-an-image"})
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
    whole = token_chain(data, size, ROOT, extras=extras)
    head = token_chain(data, size, ROOT, max_blocks=split, extras=extras)
    assert head == whole[: len(head)]
    later = {number - len(head): extra for number, extra in extras.items() if number >= len(head)}
    rest = token_chain(data[len(head) * size * 4 :], size, head[-1] if head else ROOT, extras=later)
    assert head + rest == whole
