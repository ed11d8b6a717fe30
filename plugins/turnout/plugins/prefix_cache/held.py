"""Which endpoints hold which blocks, as their engines tell it.

Theory of operation. A *site* is one rank of one endpoint: prefixes are reused within a rank only. Each site has a bit.
For each tier of memory (graphics memory, host memory, what was sent a moment ago) a table maps a block's key to the
bits of the sites that hold it there. It is cut into 256 dictionaries by the key's last bits, because one of several
million entries would stop the event loop while it grows. A lookup walks the chain with the bits of the sites that have
matched every block so far, whatever the tier; its cost grows with the number of blocks and with a site only where its
match ends.

Engines name blocks by hashes of their own. Each site keeps, for each tier, the engine's name and our key of every
block. Engines may store one name several times (copies of a block), and two names may stand for one key (what an
engine hashes and we do not know of); both are counted, so that a block is held until the last of them is removed.

Tiers are asked in the order of what a block there is worth, so that a slower one is asked only about sites that the
faster ones do not have. How many blocks of a match lie in each of the slower tiers is counted for all sites at once, in
binary, one bit of all counters in one integer: adding a mask costs two operations on average, however many sites there
are.

Masks of a thousand bits would be most of the memory, so the ones that are likely to be equal are one object: those of
neighbours in a chain, and all those with a single bit.

A site that is cleared gets another bit and begins anew; the blocks of the old bit no longer match, and are freed step
by step while others are stored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

BYTES_PER_BLOCK = 300
"""Memory of a block that one site holds, at most, with up to 1,000 sites; the less the more sites hold the same.

See the benchmark.
"""

_SHARDS = 256
_SHARD = _SHARDS - 1

# Reading all digits of a mask costs less than finding its bits one by one if one in so many is set.
_DENSE = 8

_Masks = list[dict[int, int]]
_Depth = tuple[int, int]
"""Sites, as bits, and how many leading blocks they all hold."""


@dataclass(slots=True)
class Shelf:
    """The blocks of one site in one tier, which only the index changes.

    ``keys`` maps the engine's names to ours; the counts are of further ones.
    """

    keys: dict[int, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    aliases: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Retired:
    """What is left of a cleared site until its memory is free."""

    slot: int
    shelves: list[Shelf]


class Site:
    """One rank of one endpoint. Made by ``HeldBlocks.join`` and used until ``HeldBlocks.leave``."""

    __slots__ = ("bit", "endpoint", "shelves", "slot")

    def __init__(self, endpoint: str, tiers: int) -> None:
        self.endpoint = endpoint
        self.slot = 0
        self.bit = 1
        self.shelves = [Shelf() for _ in range(tiers)]

    def key_of(self, name: int) -> int | None:
        """Our key of the block that the engine calls so, in whatever tier it lies."""
        for shelf in self.shelves:
            if (key := shelf.keys.get(name)) is not None:
                return key
        return None

    def __len__(self) -> int:
        return sum(len(shelf.keys) for shelf in self.shelves)


@dataclass(frozen=True, slots=True)
class Match:
    """The leading blocks that a site holds: how many, and what they are worth together (a full one is worth 1)."""

    blocks: int
    worth: float


class HeldBlocks:
    """Blocks by site and tier, at most ``max_blocks`` of them; a further one is not taken until others leave.

    ``tier_weights`` says what a matched block of each tier is worth, 0 to 1; of several tiers the best counts.
    """

    def __init__(self, tier_weights: Sequence[float], max_blocks: int) -> None:
        self._weights = tuple(tier_weights)
        # Best first, so that the first tier that holds a block is the one that counts.
        self._order = sorted(range(len(self._weights)), key=lambda tier: -self._weights[tier])
        self._max_blocks = max_blocks
        self._masks: list[_Masks] = [[{} for _ in range(_SHARDS)] for _ in self._weights]
        # Blocks by tier, so that a lookup passes over tiers without any.
        self._counts = [0 for _ in self._weights]
        self._sites: list[Site | None] = []
        self._bits: list[int] = []
        self._free_slots: list[int] = []
        self._live = 0
        self._retired: list[_Retired] = []
        self._count = 0
        self.refused = 0
        """Blocks that were not taken because the index was full."""

    def __len__(self) -> int:
        """Blocks kept, over all sites and tiers, those of cleared sites that are not freed yet included."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether further blocks are refused."""
        return self._count >= self._max_blocks

    # --- sites -------------------------------------------------------------------------------------------

    def join(self, endpoint: str) -> Site:
        """A new, empty site of the endpoint."""
        site = Site(endpoint, len(self._weights))
        self._take_slot(site)
        return site

    def clear(self, site: Site) -> None:
        """The site holds nothing any more, at once; its memory is freed step by step."""
        if not any(shelf.keys for shelf in site.shelves):
            return
        self._retire(site)
        site.shelves = [Shelf() for _ in self._weights]
        self._take_slot(site)

    def clear_tier(self, site: Site, tier: int) -> None:
        """The site holds nothing in this tier any more; costs as much as it held there."""
        for name in list(site.shelves[tier].keys):
            self._forget(site, tier, name)

    def leave(self, site: Site) -> None:
        """The site is gone; what is asked of it from now on finds it empty."""
        self._retire(site)
        site.shelves = [Shelf() for _ in self._weights]

    def _take_slot(self, site: Site) -> None:
        if self._free_slots:
            site.slot = self._free_slots.pop()
            self._sites[site.slot] = site
        else:
            site.slot = len(self._sites)
            self._sites.append(site)
            self._bits.append(1 << site.slot)
        site.bit = self._bits[site.slot]
        self._live |= site.bit

    def _retire(self, site: Site) -> None:
        self._live &= ~site.bit
        self._sites[site.slot] = None
        self._retired.append(_Retired(site.slot, site.shelves))

    # --- blocks ------------------------------------------------------------------------------------------

    def store(self, site: Site, tier: int, blocks: Iterable[tuple[int, int]], *, counts_copies: bool = True) -> None:
        """The site holds these blocks in the tier, each as (the engine's name, our key).

        One that it held already counts as a further copy, unless ``counts_copies`` says that it may be the same.
        """
        shelf, masks, bit = site.shelves[tier], self._masks[tier], site.bit
        # Neighbours in a chain are mostly held by the same sites and then share one mask, too.
        before, after = 0, bit
        stored = 0
        for name, key in blocks:
            stored += 1
            known = shelf.keys.get(name)
            if known == key:
                if counts_copies:
                    shelf.copies[name] = shelf.copies.get(name, 0) + 1
                continue
            if known is not None:  # the name stands for something else now
                self._forget(site, tier, name)
            if self._count >= self._max_blocks:
                self.refused += 1
                continue
            self._count += 1
            self._counts[tier] += 1
            shelf.keys[name] = key
            shard = masks[key & _SHARD]
            mask = shard.get(key, 0)
            if mask & bit:
                shelf.aliases[key] = shelf.aliases.get(key, 0) + 1
            else:
                if mask != before:
                    before, after = mask, mask | bit
                shard[key] = after
        self.tidy(2 * stored)

    def remove(self, site: Site, tier: int, names: Iterable[int]) -> int:
        """The site no longer holds one copy of each of these; returns how many of them it did not hold."""
        shelf, unknown = site.shelves[tier], 0
        for name in names:
            if name in shelf.copies:
                shelf.copies[name] -= 1
                if not shelf.copies[name]:
                    del shelf.copies[name]
            elif name in shelf.keys:
                self._drop(shelf, tier, shelf.keys.pop(name), site.bit)
            else:
                unknown += 1
        return unknown

    def tidy(self, limit: int) -> None:
        """Frees up to ``limit`` blocks of sites that were cleared or have left."""
        while self._retired and limit > 0:
            retired = self._retired[-1]
            bit = 1 << retired.slot
            for tier, shelf in enumerate(retired.shelves):
                while shelf.keys and limit > 0:
                    self._drop(shelf, tier, shelf.keys.popitem()[1], bit)
                    limit -= 1
            if any(shelf.keys for shelf in retired.shelves):
                return
            self._retired.pop()
            self._free_slots.append(retired.slot)

    def _forget(self, site: Site, tier: int, name: int) -> None:
        """Drops a block with all its copies."""
        shelf = site.shelves[tier]
        shelf.copies.pop(name, None)
        self._drop(shelf, tier, shelf.keys.pop(name), site.bit)

    def _drop(self, shelf: Shelf, tier: int, key: int, bit: int) -> None:
        """One name of the key is gone from the shelf."""
        self._count -= 1
        self._counts[tier] -= 1
        further = shelf.aliases.get(key, 0)
        if further > 1:
            shelf.aliases[key] = further - 1
        elif further:
            del shelf.aliases[key]
        else:
            self._take_bit(self._masks[tier][key & _SHARD], key, bit)

    def _take_bit(self, shard: dict[int, int], key: int, bit: int) -> None:
        mask = shard[key] ^ bit
        if not mask:
            del shard[key]
        elif mask & (mask - 1):
            shard[key] = mask
        else:  # the only one left; all such blocks share its mask
            shard[key] = self._bits[mask.bit_length() - 1]

    # --- looking up --------------------------------------------------------------------------------------

    def match(self, chain: Sequence[int]) -> dict[str, Match]:
        """For each endpoint that holds the first block, the match of its best site."""
        used = [tier for tier in self._order if self._counts[tier]]
        if not chain or not used:
            return {}
        best = self._weights[used[0]]
        if len(used) == 1:
            return self._matches(self._depths(chain, self._masks[used[0]]), best, [])
        # What is worth as much as the best need not be counted.
        counted = {tier: _Counters() for tier in used if self._weights[tier] != best}
        depths = self._depths_in_tiers(chain, [(self._masks[tier], counted.get(tier)) for tier in used])
        slower = [(self._weights[tier], totals) for tier, counters in counted.items() if (totals := counters.totals())]
        return self._matches(depths, best, slower)

    def _depths(self, chain: Sequence[int], masks: _Masks) -> Sequence[_Depth]:
        found: list[_Depth] = []
        matching = self._live
        for depth, key in enumerate(chain):
            remaining = matching & masks[key & _SHARD].get(key, 0)
            if remaining != matching:
                found.append((matching ^ remaining, depth))
                if not remaining:
                    return found
                matching = remaining
        return [*found, (matching, len(chain))]

    def _depths_in_tiers(
        self, chain: Sequence[int], tiers: Sequence[tuple[_Masks, "_Counters | None"]]
    ) -> Sequence[_Depth]:
        """The same over several tiers, best first; counts the blocks that lie in tiers with counters."""
        found: list[_Depth] = []
        matching = self._live
        for depth, key in enumerate(chain):
            shard, missing = key & _SHARD, matching
            for masks, counters in tiers:
                held = missing & masks[shard].get(key, 0)
                if held:
                    if counters is not None:
                        counters.add(held)
                    missing ^= held
                    if not missing:
                        break
            else:
                found.append((missing, depth))
                matching ^= missing
                if not matching:
                    return found
        return [*found, (matching, len(chain))]

    def _matches(
        self, depths: Sequence[_Depth], weight: float, slower: Sequence[tuple[float, Mapping[int, int]]]
    ) -> dict[str, Match]:
        """By endpoint the best match. A block is worth ``weight``, unless ``slower`` counts it for its site."""
        matches: dict[str, Match] = {}
        for mask, depth in depths:
            if not depth:
                continue
            alike = Match(depth, depth * weight)
            for slot in _slots(mask):
                site = self._sites[slot]
                if site is None:
                    continue
                match = _weighed(slot, depth, weight, slower) if slower else alike
                known = matches.get(site.endpoint)
                if known is None or match.worth > known.worth:
                    matches[site.endpoint] = match
        return matches


def _weighed(slot: int, depth: int, weight: float, slower: Sequence[tuple[float, Mapping[int, int]]]) -> Match:
    worth, rest = 0.0, depth
    for less, counts in slower:
        count = counts.get(slot, 0)
        worth += count * less
        rest -= count
    return Match(depth, worth + rest * weight)


class _Counters:
    """One counter for each bit, kept in binary: ``_planes[i]`` has bit i of all of them."""

    __slots__ = ("_planes",)

    def __init__(self) -> None:
        self._planes: list[int] = []

    def add(self, mask: int) -> None:
        """Adds one to the counters of the set bits."""
        for number, plane in enumerate(self._planes):
            if not mask:
                return
            self._planes[number], mask = plane ^ mask, plane & mask
        if mask:
            self._planes.append(mask)

    def totals(self) -> Mapping[int, int]:
        """The counters that are not 0, by bit."""
        totals: dict[int, int] = {}
        for number, plane in enumerate(self._planes):
            for slot in _slots(plane):
                totals[slot] = totals.get(slot, 0) + (1 << number)
        return totals


def _slots(mask: int) -> Iterable[int]:
    """The numbers of the set bits."""
    if mask.bit_count() * _DENSE < mask.bit_length():
        return _few_slots(mask)
    return [slot for slot, digit in enumerate(f"{mask:b}"[::-1]) if digit == "1"]


def _few_slots(mask: int) -> Iterator[int]:
    while mask:
        slot = mask.bit_length() - 1
        yield slot
        mask ^= 1 << slot
