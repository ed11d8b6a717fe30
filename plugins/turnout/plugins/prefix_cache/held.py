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

How many blocks of a match lie in slower tiers is counted for all sites at once, in binary, one bit of all counters in
one integer: adding a mask costs two operations on average, however many sites there are.

A site that is cleared gets another bit and begins anew; the blocks of the old bit no longer match, and are freed step
by step while others are stored.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

BYTES_PER_BLOCK = 300
"""Memory of a block that one site holds, at most, the less the more sites hold the same; see the benchmark."""


_SHARDS = 256
_SHARD = _SHARDS - 1

_Masks = list[dict[int, int]]


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

    __slots__ = ("endpoint", "shelves", "slot")

    def __init__(self, endpoint: str, slot: int, tiers: int) -> None:
        self.endpoint = endpoint
        self.slot = slot
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
        site = Site(endpoint, 0, len(self._weights))
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
        self._live |= 1 << site.slot

    def _retire(self, site: Site) -> None:
        self._live &= ~(1 << site.slot)
        self._sites[site.slot] = None
        self._retired.append(_Retired(site.slot, site.shelves))

    # --- blocks ------------------------------------------------------------------------------------------

    def store(self, site: Site, tier: int, blocks: Iterable[tuple[int, int]]) -> None:
        """The site holds these blocks in the tier, each as (the engine's name, our key)."""
        shelf, masks, bit = site.shelves[tier], self._masks[tier], 1 << site.slot
        stored = 0
        for name, key in blocks:
            stored += 1
            known = shelf.keys.get(name)
            if known == key:
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
                shard[key] = mask | bit
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
                self._drop(shelf, tier, name, 1 << site.slot)
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
                    self._drop(shelf, tier, next(reversed(shelf.keys)), bit)
                    limit -= 1
            if any(shelf.keys for shelf in retired.shelves):
                return
            self._retired.pop()
            self._free_slots.append(retired.slot)

    def _forget(self, site: Site, tier: int, name: int) -> None:
        """Drops a block with all its copies."""
        shelf = site.shelves[tier]
        shelf.copies.pop(name, None)
        self._drop(shelf, tier, name, 1 << site.slot)

    def _drop(self, shelf: Shelf, tier: int, name: int, bit: int) -> None:
        key = shelf.keys.pop(name)
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
        if mask := shard[key] ^ bit:
            shard[key] = mask
        else:
            del shard[key]

    # --- looking up --------------------------------------------------------------------------------------

    def match(self, chain: Sequence[int]) -> dict[str, Match]:
        """For each endpoint that holds the first block, the match of its best site."""
        used = [tier for tier in self._order if self._counts[tier]]
        if not chain or not used:
            return {}
        if len(used) == 1:
            found = self._depths(chain, self._masks[used[0]])
            weights = {slot: depth * self._weights[used[0]] for slot, depth in found}
            return self._best(found, weights)
        return self._match_in_tiers(chain, used)

    def _depths(self, chain: Sequence[int], masks: _Masks) -> list[tuple[int, int]]:
        """(slot, leading blocks held) of each live site that holds the first block, in one tier."""
        found: list[tuple[int, int]] = []
        matching = self._live
        for depth, key in enumerate(chain):
            remaining = matching & masks[key & _SHARD].get(key, 0)
            if remaining != matching:
                if depth:
                    found += ((slot, depth) for slot in _slots(matching ^ remaining))
                if not remaining:
                    return found
                matching = remaining
        found += ((slot, len(chain)) for slot in _slots(matching))
        return found

    def _match_in_tiers(self, chain: Sequence[int], tiers: Sequence[int]) -> dict[str, Match]:
        counters = {tier: _Counters() for tier in tiers}
        found: list[tuple[int, int]] = []
        worth: dict[int, float] = {}
        matching = self._live

        def note(ended: int, depth: int) -> None:
            for slot in _slots(ended):
                found.append((slot, depth))
                worth[slot] = sum(counters[tier].of(slot) * self._weights[tier] for tier in tiers)

        for depth, key in enumerate(chain):
            remaining, masks = 0, []
            for tier in tiers:
                mask = matching & self._masks[tier][key & _SHARD].get(key, 0) & ~remaining
                remaining |= mask
                masks.append((tier, mask))
            if remaining != matching:
                if depth:
                    note(matching ^ remaining, depth)
                if not remaining:
                    return self._best(found, worth)
                matching = remaining
            for tier, mask in masks:
                counters[tier].add(mask)
        note(matching, len(chain))
        return self._best(found, worth)

    def _best(self, found: Sequence[tuple[int, int]], worth: dict[int, float]) -> dict[str, Match]:
        matches: dict[str, Match] = {}
        for slot, depth in found:
            site = self._sites[slot]
            if site is None:
                continue
            known = matches.get(site.endpoint)
            if known is None or worth[slot] > known.worth:
                matches[site.endpoint] = Match(depth, worth[slot])
        return matches


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

    def of(self, slot: int) -> int:
        return sum((plane >> slot & 1) << number for number, plane in enumerate(self._planes))


def _slots(mask: int) -> Iterator[int]:
    while mask:
        slot = mask.bit_length() - 1
        yield slot
        mask ^= 1 << slot
