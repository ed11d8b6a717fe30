from array import array

import pytest

from turnout.epp.simulator.blocks import (
    AllBlocksCleared,
    Block,
    BlockPool,
    BlockRemoved,
    BlockStored,
    chain_root,
    extend_hashes,
)


def stored(*hashes: int) -> BlockStored:
    return BlockStored(hashes, None, array("I"), None, None)


def fill(pool: BlockPool, *hashes: int) -> list[Block]:
    blocks = pool.allocate(len(hashes))
    pool.store(blocks, 0, stored(*hashes))
    return blocks


def test_released_blocks_can_be_shared_until_they_are_evicted() -> None:
    pool = BlockPool(2, record_events=False)
    pool.release(fill(pool, 1, 2))
    found = pool.find_prefix([1, 2, 3], 3)
    pool.share(found)
    assert (len(found), pool.in_use, pool.available) == (2, 2, 0)


def test_the_tail_of_the_sequence_released_first_is_evicted_first() -> None:
    pool = BlockPool(4, record_events=True)
    older, newer = fill(pool, 1, 2), fill(pool, 3, 4)
    pool.release(older)
    pool.release(newer)
    pool.allocate(3)
    removed = [event.block_hash for event in pool.take_events() if isinstance(event, BlockRemoved)]
    assert removed == [2, 1, 4]


def test_a_block_in_use_is_never_evicted() -> None:
    pool = BlockPool(3, record_events=True)
    fill(pool, 1)
    pool.release(fill(pool, 2))
    pool.allocate(2)
    assert pool.find_prefix([1], 1)
    assert not pool.find_prefix([2], 1)


def test_a_copy_of_a_named_block_is_announced_once_and_replaced_by_it() -> None:
    pool = BlockPool(2, record_events=True)
    original = fill(pool, 7)
    copy = fill(pool, 7)
    assert copy == original
    assert pool.take_events() == [stored(7)]
    assert (pool.in_use, pool.available) == (1, 1)
    pool.release(copy)
    assert pool.in_use == 1


def test_available_beside_leaves_out_the_blocks_that_would_be_taken() -> None:
    pool = BlockPool(3, record_events=False)
    pool.release(fill(pool, 1, 2))
    assert pool.available_beside(pool.find_prefix([1, 2], 2)) == 1


def test_clearing_forgets_everything_and_says_so() -> None:
    pool = BlockPool(2, record_events=True)
    pool.release(fill(pool, 1))
    assert pool.clear()
    assert not pool.find_prefix([1], 1)
    assert pool.take_events() == [stored(1), AllBlocksCleared()]


def test_clearing_does_nothing_while_a_block_is_in_use() -> None:
    pool = BlockPool(2, record_events=True)
    fill(pool, 1)
    assert not pool.clear()
    assert pool.find_prefix([1], 1)


@pytest.mark.parametrize(
    ("model", "lora_name", "cache_salt"),
    [
        pytest.param("other", None, None, id="another model"),
        pytest.param("model", "a", None, id="an adapter"),
        pytest.param("model", None, "a", id="a cache salt"),
    ],
)
def test_blocks_are_not_shared_across(model: str, lora_name: str | None, cache_salt: str | None) -> None:
    assert chain_root(model, lora_name, cache_salt) != chain_root("model", None, None)


def test_a_block_hash_depends_on_every_token_before_it() -> None:
    first: list[int] = []
    second: list[int] = []
    extend_hashes(first, 1, array("I", [1, 2, 3, 4]), 2, 2)
    extend_hashes(second, 1, array("I", [1, 9, 3, 4]), 2, 2)
    assert len({*first, *second}) == 4


def test_hashes_extended_in_two_goes_are_the_same_as_in_one() -> None:
    tokens = array("I", range(8))
    once: list[int] = []
    twice: list[int] = []
    extend_hashes(once, 1, tokens, 2, 4)
    extend_hashes(twice, 1, tokens, 2, 1)
    extend_hashes(twice, 1, tokens, 2, 4)
    assert once == twice
