import tracemalloc
from itertools import accumulate

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnout.plugins.prefix_cache.index import PrefixIndex

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
    def holds_the_same_endpoints(self) -> None:
        assert sorted(self.index.endpoints()) == sorted(self.model.blocks)

    @invariant()
    def holds_no_more_than_it_must(self) -> None:
        leaving = sum(len(holder.blocks) for holder in self.index._leaving)
        assert len(self.index) == sum(map(len, self.model.blocks.values())) + leaving
        held = [block for holder in self.index._holders.values() for block in holder.blocks]
        held += [block for holder in self.index._leaving for block in holder.blocks]
        assert set(self.index._masks) == set(held)


TestIndexBesideItsModel = IndexBesideItsModel.TestCase
TestIndexBesideItsModel.settings = settings(max_examples=100, stateful_step_count=40)


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


@pytest.mark.parametrize(
    ("endpoints", "bytes_a_block"),
    [
        pytest.param(1, 220, id="one endpoint pays for mask and order"),
        pytest.param(8, 160, id="eight endpoints that hold the same blocks share the masks"),
    ],
)
def test_memory_stays_within_what_the_index_promises(endpoints: int, bytes_a_block: int) -> None:
    blocks = 20_000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    index = PrefixIndex()
    for name in range(endpoints):
        # Fresh integers, as the hashes of a later request are.
        index.add(str(name), [2**62 + number for number in range(blocks)], blocks)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(index) == blocks * endpoints
    assert used / len(index) < bytes_a_block
