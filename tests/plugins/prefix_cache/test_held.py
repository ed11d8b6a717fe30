import tracemalloc
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from turnout.plugins.prefix_cache.held import BYTES_PER_BLOCK, HeldBlocks, Match, Site

WEIGHTS = (1.0, 0.5, 1.0)
names = st.integers(0, 7)
keys = st.integers(100, 105)
tiers = st.integers(0, len(WEIGHTS) - 1)
blocks = st.lists(st.tuples(names, keys), max_size=5)


class Plain:
    """The same in the plainest way: for each site and tier, the key and the number of copies of each name."""

    def __init__(self) -> None:
        self.sites: dict[Site, list[dict[int, tuple[int, int]]]] = {}

    def store(self, site: Site, tier: int, stored: Sequence[tuple[int, int]], *, counts_copies: bool) -> None:
        shelf = self.sites[site][tier]
        for name, key in stored:
            known, copies = shelf.get(name, (key, 0))
            if known != key or not copies:
                shelf[name] = (key, 1)
            elif counts_copies:
                shelf[name] = (key, copies + 1)

    def remove(self, site: Site, tier: int, removed: Sequence[int]) -> int:
        shelf, unknown = self.sites[site][tier], 0
        for name in removed:
            if name not in shelf:
                unknown += 1
                continue
            key, copies = shelf.pop(name)
            if copies > 1:
                shelf[name] = (key, copies - 1)
        return unknown

    def match(self, chain: Sequence[int]) -> dict[str, Match]:
        matches: dict[str, Match] = {}
        for site, shelves in self.sites.items():
            worths = []
            for key in chain:
                held = [WEIGHTS[t] for t, shelf in enumerate(shelves) if key in {k for k, _ in shelf.values()}]
                if not held:
                    break
                worths.append(max(held))
            known = matches.get(site.endpoint)
            if worths and (known is None or sum(worths) > known.worth):
                matches[site.endpoint] = Match(len(worths), sum(worths))
        return matches


class HeldBesideItsModel(RuleBasedStateMachine):
    sites = Bundle("sites")

    def __init__(self) -> None:
        super().__init__()
        self.held, self.plain = HeldBlocks(WEIGHTS, 1_000), Plain()

    @rule(target=sites, endpoint=st.sampled_from("abc"))
    def join(self, endpoint: str) -> Site:
        site = self.held.join(endpoint)
        self.plain.sites[site] = [{} for _ in WEIGHTS]
        return site

    @rule(site=consumes(sites))
    def leave(self, site: Site) -> None:
        self.held.leave(site)
        del self.plain.sites[site]

    @rule(site=sites, tier=tiers, stored=blocks, counts_copies=st.booleans())
    def store(self, site: Site, tier: int, stored: list[tuple[int, int]], counts_copies: bool) -> None:
        self.held.store(site, tier, stored, counts_copies=counts_copies)
        self.plain.store(site, tier, stored, counts_copies=counts_copies)

    @rule(site=sites, tier=tiers, removed=st.lists(names, max_size=5))
    def remove(self, site: Site, tier: int, removed: list[int]) -> None:
        assert self.held.remove(site, tier, removed) == self.plain.remove(site, tier, removed)

    @rule(site=sites)
    def clear(self, site: Site) -> None:
        self.held.clear(site)
        self.plain.sites[site] = [{} for _ in WEIGHTS]

    @rule(site=sites, tier=tiers)
    def clear_one_tier(self, site: Site, tier: int) -> None:
        self.held.clear_tier(site, tier)
        self.plain.sites[site][tier] = {}

    @rule(limit=st.integers(0, 10))
    def tidy(self, limit: int) -> None:
        self.held.tidy(limit)

    @rule(chain=st.lists(keys, max_size=6))
    def look_up(self, chain: list[int]) -> None:
        found, expected = self.held.match(chain), self.plain.match(chain)
        assert {name: match.worth for name, match in found.items()} == {
            name: match.worth for name, match in expected.items()
        }
        assert found.keys() == expected.keys()

    @rule(site=sites, name=names)
    def our_key_of_a_name(self, site: Site, name: int) -> None:
        known = [shelf[name][0] for shelf in self.plain.sites[site] if name in shelf]
        assert self.held_key(site, name) == (known[0] if known else None)

    def held_key(self, site: Site, name: int) -> int | None:
        return site.key_of(name)

    @invariant()
    def nothing_is_left_of_what_is_gone(self) -> None:
        leaving = sum(len(shelf.keys) for retired in self.held._retired for shelf in retired.shelves)
        kept = sum(len(shelf) for shelves in self.plain.sites.values() for shelf in shelves)
        assert len(self.held) == kept + leaving
        assert sum(len(site) for site in self.plain.sites) == kept
        if not leaving:
            for tier, masks in enumerate(self.held._masks):
                held = {key for shelves in self.plain.sites.values() for key, _ in shelves[tier].values()}
                assert {key for shard in masks for key in shard} == held
                assert self.held._counts[tier] == sum(len(shelves[tier]) for shelves in self.plain.sites.values())
            bookkeeping = Counter(len(shelf.copies) for site in self.plain.sites for shelf in site.shelves)
            assert bookkeeping.total() == len(WEIGHTS) * len(self.plain.sites)


TestHeldBesideItsModel = HeldBesideItsModel.TestCase
TestHeldBesideItsModel.settings = settings(max_examples=150, stateful_step_count=50)


def numbered(*keys: int) -> list[tuple[int, int]]:
    return [(key, key) for key in keys]


def test_an_endpoint_matches_up_to_its_first_gap() -> None:
    held = HeldBlocks((1.0,), 100)
    for endpoint, own in {"two": (1, 2), "all": (1, 2, 3), "gap": (1, 3), "tail": (2, 3)}.items():
        held.store(held.join(endpoint), 0, numbered(*own))
    assert held.match([1, 2, 3]) == {"two": Match(2, 2.0), "all": Match(3, 3.0), "gap": Match(1, 1.0)}
    assert held.match([]) == {}
    assert held.match([9]) == {}


def test_blocks_in_a_slower_tier_count_for_the_length_of_a_match_and_are_worth_less() -> None:
    held = HeldBlocks((1.0, 0.75), 100)
    site, other = held.join("a"), held.join("b")
    held.store(site, 0, numbered(1, 2))
    held.store(site, 1, numbered(2, 3, 4))
    held.store(other, 0, numbered(1, 2, 3, 4))
    assert held.match([1, 2, 3, 4, 5]) == {"a": Match(4, 2 * 1.0 + 2 * 0.75), "b": Match(4, 4.0)}


def test_of_an_endpoint_s_ranks_the_one_with_the_best_match_counts() -> None:
    held = HeldBlocks((1.0,), 100)
    first, second = held.join("a"), held.join("a")
    held.store(first, 0, numbered(1, 3))
    held.store(second, 0, numbered(1, 2))
    assert held.match([1, 2, 3]) == {"a": Match(2, 2.0)}


def test_a_block_that_was_stored_twice_is_held_until_it_is_removed_twice() -> None:
    held = HeldBlocks((1.0,), 100)
    site = held.join("a")
    held.store(site, 0, [(7, 1), (7, 1)])
    assert held.remove(site, 0, [7]) == 0
    assert held.match([1]) == {"a": Match(1, 1.0)}
    assert held.remove(site, 0, [7, 7]) == 1
    assert held.match([1]) == {}


def test_a_block_that_was_announced_again_without_being_a_copy_is_gone_once_it_is_removed() -> None:
    held = HeldBlocks((1.0,), 100)
    site = held.join("a")
    held.store(site, 0, [(7, 1)])
    held.store(site, 0, [(7, 1), (8, 2)], counts_copies=False)
    assert held.match([1, 2]) == {"a": Match(2, 2.0)}
    assert held.remove(site, 0, [7]) == 0
    assert held.match([1]) == {}


def test_a_name_that_comes_to_stand_for_something_else_leaves_nothing_of_the_old() -> None:
    held = HeldBlocks((1.0,), 100)
    site = held.join("a")
    held.store(site, 0, [(7, 1), (7, 1), (7, 2)])
    assert (held.match([1]), held.match([2])) == ({}, {"a": Match(1, 1.0)})


def test_a_cleared_site_holds_nothing_at_once_and_its_memory_follows_while_others_store() -> None:
    held = HeldBlocks((1.0,), 100)
    site = held.join("a")
    held.store(site, 0, numbered(*range(10)))
    held.clear(site)
    assert held.match([0, 1]) == {}
    assert len(held) == 10
    held.store(site, 0, numbered(0, 50))
    assert held.match([0, 1]) == {"a": Match(1, 1.0)}
    held.store(site, 0, numbered(60, 61, 62))
    assert len(held) == 5


def test_a_full_index_takes_no_more_until_something_leaves() -> None:
    held = HeldBlocks((1.0,), 3)
    site = held.join("a")
    held.store(site, 0, numbered(1, 2, 3, 4, 5))
    assert (len(held), held.refused) == (3, 2)
    assert held.match([1, 2, 3, 4]) == {"a": Match(3, 3.0)}
    held.remove(site, 0, [3])
    held.store(site, 0, numbered(6))
    assert held.match([6]) == {"a": Match(1, 1.0)}


def test_places_of_sites_that_left_are_used_again() -> None:
    held = HeldBlocks((1.0,), 100)
    for _ in range(50):
        site = held.join("a")
        held.store(site, 0, numbered(1, 2))
        held.leave(site)
        held.tidy(10)
    assert held.join("b").slot == 0
    assert len(held) == 0


@pytest.mark.parametrize(
    ("endpoints", "shared"),
    [
        pytest.param(1, False, id="one endpoint"),
        pytest.param(8, True, id="eight endpoints with the same blocks"),
        pytest.param(100, False, id="a hundred endpoints with blocks of their own"),
    ],
)
def test_memory_stays_within_what_the_index_promises(endpoints: int, shared: bool) -> None:
    each = 20_000 // endpoints
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    held = HeldBlocks((1.0, 0.8), 10**9)
    for number in range(endpoints):
        # Fresh integers, as hashes from the wire and of our own are.
        first = 2**62 + (0 if shared else number * each)
        held.store(held.join(str(number)), 0, [(2**63 + number * each + at, first + at) for at in range(each)])
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(held) == each * endpoints
    assert used / len(held) < BYTES_PER_BLOCK


def test_blocks_with_one_holder_left_take_no_more_than_blocks_that_had_one_always() -> None:
    def kept(*, alone: bool) -> int:
        held = HeldBlocks((1.0,), 10**9)
        sites = [held.join(str(number)) for number in range(1_000)]
        tracemalloc.start()
        for number in range(2_000):
            blocks = [(2**63 + number, 2**62 + number)]
            held.store(sites[-1], 0, blocks)
            other = sites[number % 999]
            held.store(other, 0, [] if alone else blocks)
            held.remove(other, 0, [] if alone else [2**63 + number])
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(held) == 2_000
        return used

    kept(alone=False)  # whatever is made once
    # The dictionaries of the other sites have grown a little; masks of their own would be 160 bytes each.
    assert kept(alone=False) - kept(alone=True) < 160 * 2_000 / 2


def test_worth_is_counted_for_each_of_many_endpoints_whose_matches_end_together_or_apart() -> None:
    held = HeldBlocks((1.0, 0.5), 10**6)
    for number in range(40):
        site = held.join(str(number))
        held.store(site, 0, numbered(*range(1, 1 + number % 4)))
        held.store(site, 1, numbered(*range(number % 4, 8)))
    assert held.match(list(range(1, 9))) == {
        str(number): Match(7, number % 4 + (7 - number % 4) * 0.5) for number in range(40)
    }
