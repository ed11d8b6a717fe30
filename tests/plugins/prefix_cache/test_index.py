import tracemalloc
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnout.plugins.prefix_cache.index import PrefixIndex, bytes_per_block

NAMES = ["a", "b", "c", "d"]

# Chains over two symbols share prefixes often; a block's id stands for everything before it, as a hash does.
symbols = st.lists(st.sampled_from([1, 2]), max_size=6)
chains = symbols.map(lambda places: list(accumulate(places, lambda prefix, symbol: prefix * 3 + symbol)))


class PlainIndex:
    """The same, slowly: for each endpoint its blocks, most recently used last."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[int]] = {}

    def add(self, name: str, chain: list[int], capacity: int) -> None:
        held = [block for block in self.blocks.get(name, []) if block not in chain]
        held += reversed(chain)
        self.blocks[name] = held[max(0, len(held) - capacity) :]

    def match(self, chain: list[int]) -> dict[str, int]:
        found = {}
        for name, held in self.blocks.items():
            gaps = [depth for depth, block in enumerate(chain) if block not in held]
            found[name] = gaps[0] if gaps else len(chain)
        return {name: depth for name, depth in found.items() if depth}


class IndexBesideItsModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex()
        self.model = PlainIndex()

    @rule(name=st.sampled_from(NAMES), chain=chains, capacity=st.integers(1, 8))
    def add(self, name: str, chain: list[int], capacity: int) -> None:
        self.index.add(name, chain, capacity)
        self.model.add(name, chain, capacity)

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        if name in self.model.blocks:
            self.index.remove(name)
            del self.model.blocks[name]

    @rule(limit=st.integers(1, 3))
    def tidy(self, limit: int) -> None:
        self.index.tidy(limit)

    @rule(chain=chains)
    def match(self, chain: list[int]) -> None:
        assert self.index.match(chain) == self.model.match(chain)

    @invariant()
    def holds_the_same_blocks_in_the_same_order(self) -> None:
        assert {name: [*self.index.blocks(name)][::-1] for name in self.index.endpoints()} == self.model.blocks

    @invariant()
    def holds_no_more_than_it_must(self) -> None:
        leaving = [block for holder in self.index._leaving for block in holder.blocks]
        held = [block for blocks in self.model.blocks.values() for block in blocks]
        assert len(self.index) == len(held) + len(leaving)
        masked = {block for shard in self.index._masks for block in shard}
        assert masked == {*held, *leaving}


class BoundedIndexBesideItsModel(IndexBesideItsModel):
    """The same with room for 12 blocks: what is given up must be what the rule says, whoever's turn it is."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex(12 * 360)

    @rule(name=st.sampled_from(NAMES), chain=chains, capacity=st.integers(1, 12))
    def add(self, name: str, chain: list[int], capacity: int) -> None:
        self.index.add(name, chain, capacity)
        self.model.add(name, chain, capacity)
        share = 12 // len(self.model.blocks)
        unbounded = sum(map(len, self.model.blocks.values()))
        for other, blocks in self.model.blocks.items():
            held = self.index.held(other)
            assert held >= min(len(blocks), share), "nobody gives up what is within the share"
            self.model.blocks[other] = blocks[len(blocks) - held :]
        assert sum(map(len, self.model.blocks.values())) == min(12, unbounded), "no more is given up than needed"

    @invariant()
    def stays_within_the_bound(self) -> None:
        assert len(self.index) <= self.index.max_blocks == 12


TestIndexBesideItsModel = IndexBesideItsModel.TestCase
TestIndexBesideItsModel.settings = settings(max_examples=100, stateful_step_count=40)
TestBoundedIndexBesideItsModel = BoundedIndexBesideItsModel.TestCase
TestBoundedIndexBesideItsModel.settings = settings(max_examples=100, stateful_step_count=40)


def test_an_endpoint_matches_up_to_its_first_gap() -> None:
    index = PrefixIndex()
    index.add("two", [1, 2], 10)
    index.add("all", [1, 2, 3, 4], 10)
    index.add("gap", [1, 3, 4], 10)
    index.add("tail", [3, 4], 10)
    assert index.match([1, 2, 3, 4]) == {"gap": 1, "two": 2, "all": 4}
    assert index.match([9, 1, 2]) == {}
    assert index.match([]) == {}


def test_the_end_of_a_chain_is_dropped_before_its_start() -> None:
    index = PrefixIndex()
    index.add("a", [1, 2, 3, 4, 5], 3)
    assert index.match([1, 2, 3, 4, 5]) == {"a": 3}
    index.add("a", [1, 2, 6], 3)
    assert index.match([1, 2, 3]) == {"a": 2}
    assert index.match([1, 2, 6]) == {"a": 3}


def test_a_removed_endpoint_matches_nothing_at_once_and_its_memory_follows() -> None:
    index = PrefixIndex()
    index.add("a", list(range(10)), 100)
    index.remove("a")
    assert index.match([0, 1]) == {}
    assert len(index) == 10
    index.add("a", [0], 100)
    assert index.match([0, 1]) == {"a": 1}
    for _ in range(5):
        index.tidy(4)
    assert len(index) == 1
    assert index.match([0, 1]) == {"a": 1}


def test_a_removed_endpoint_s_place_is_used_again() -> None:
    index = PrefixIndex()
    for round_ in range(50):
        index.add(f"e{round_}", [1, 2], 10)
        index.remove(f"e{round_}")
        index.tidy(10)
    index.add("last", [1, 2], 10)
    assert index.match([1, 2]) == {"last": 2}
    assert len(index._names) == 1


def numbers(first: int, count: int) -> list[int]:
    # Fresh integers, as the hashes of a later request are.
    return [2**62 + first + number for number in range(count)]


def test_endpoints_above_their_share_give_up_in_turns_what_they_used_least_recently() -> None:
    index = PrefixIndex(1_000 * 360)
    index.add("small", numbers(0, 100), 10_000)
    index.add("big", numbers(1_000, 450), 10_000)
    index.add("large", numbers(2_000, 450), 10_000)
    index.add("large", numbers(3_000, 200), 10_000)
    assert len(index) == 1_000
    # Turns of 64 blocks: both bigger ones have given up, one of them down to its share.
    assert (index.held("small"), index.held("big"), index.held("large")) == (100, 333, 567)
    assert index.match(numbers(3_000, 200)) == {"large": 200}
    assert index.match(numbers(1_000, 450)) == {"big": 333}


def test_what_departed_endpoints_held_is_given_up_first() -> None:
    index = PrefixIndex(100 * 360)
    index.add("gone", numbers(0, 60), 10_000)
    index.add("here", numbers(100, 40), 10_000)
    index.remove("gone")
    index.add("here", numbers(200, 30), 10_000)
    assert (index.held("here"), len(index)) == (70, 100)
    index.add("here", numbers(300, 60), 10_000)
    assert (index.held("here"), len(index)) == (100, 100)


def test_a_capacity_that_falls_is_reached_step_by_step() -> None:
    index = PrefixIndex()
    index.add("a", numbers(0, 5_000), 5_000)
    index.add("a", numbers(0, 2), 1_000)
    assert index.held("a") == 3_976
    for _ in range(3):
        index.add("a", numbers(0, 2), 1_000)
    assert index.held("a") == 1_000


def test_endpoints_that_come_and_go_leave_no_more_behind_than_they_add() -> None:
    index = PrefixIndex()
    for _ in range(100):
        index.add("restarts", numbers(0, 50), 1_000)
        index.remove("restarts")
    assert len(index) <= 100
    assert len(index._names) <= 2


def test_more_endpoints_than_blocks_are_possible() -> None:
    index = PrefixIndex(4 * 360)
    for number in range(10):
        index.add(f"e{number}", numbers(number * 10, 3), 10)
    assert len(index) == 4
    assert index.held("e9") > 0


def test_an_unknown_endpoint_holds_nothing() -> None:
    assert PrefixIndex().held("nobody") == 0
    assert list(PrefixIndex().blocks("nobody")) == []
    assert "nobody" not in PrefixIndex()


def used_for_each_block(index: PrefixIndex, fill: Callable[[PrefixIndex], None]) -> float:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fill(index)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / len(index)


def the_same_at(endpoints: int, blocks: int) -> Callable[[PrefixIndex], None]:
    def fill(index: PrefixIndex) -> None:
        for name in range(endpoints):
            index.add(str(name), numbers(0, blocks), blocks)

    return fill


def one_after_another(index: PrefixIndex) -> None:
    # Renewed a little above a third of a power of two, the dictionaries have the most room.
    for first in range(0, 60_000, 16):
        index.add("a", numbers(first, 16), 11_000)


def pairs_of_many(index: PrefixIndex) -> None:
    for name in range(1_000):
        index.add(str(name), numbers(10**9 + name, 1), 1_000)
    for block in range(10_000):
        for name in (block * 7 % 1_000, 999 - block % 500):
            index.add(str(name), numbers(block, 1), 1_000)


@pytest.mark.parametrize(
    ("fill", "bytes_a_block"),
    [
        pytest.param(the_same_at(1, 20_000), 220, id="one endpoint pays for mask and order"),
        pytest.param(the_same_at(8, 20_000), 160, id="eight endpoints that hold the same blocks share the masks"),
        pytest.param(one_after_another, 360, id="blocks that come and go, at the worst of sizes"),
        pytest.param(pairs_of_many, 426, id="every block with a mask of 1,000 endpoints of its own"),
    ],
)
def test_memory_stays_within_what_the_index_promises(fill: Callable[[PrefixIndex], None], bytes_a_block: int) -> None:
    assert used_for_each_block(PrefixIndex(), fill) < bytes_a_block


@pytest.mark.parametrize(
    ("endpoints", "size"), [pytest.param(0, 360, id="none"), pytest.param(1_000, 426, id="a thousand")]
)
def test_a_block_takes_more_where_masks_are_longer(endpoints: int, size: int) -> None:
    assert bytes_per_block(endpoints) == size
