"""The paged KV cache of one replica.

Theory of operation. The cache is a fixed number of blocks of `block_size` tokens. A block that is full of
computed tokens gets a name: the hash of its tokens, chained from the block before it, so equal names mean
equal prefixes. Named blocks can be found and shared; a block is in use while at least one sequence holds a
reference. Released blocks keep their content and wait in a queue, least recently released first, until an
allocation evicts them. A sequence releases its last block first, so tails are evicted before the prefixes
that other requests are more likely to share.

Two sequences may compute the same block at the same time. The first one to fill it names it; the other's copy is
dropped and both share the first. vLLM keeps such copies. Without them a block's parent is in the cache whenever the
block is: whoever refers to a block refers to its parents, and tails are released first.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash


@dataclass(frozen=True, slots=True)
class BlockStored:
    """Consecutive blocks of one sequence can be found from here on."""

    block_hashes: tuple[int, ...]
    parent_block_hash: int | None
    """Name of the block before the first one; None at the start of a prompt."""
    token_ids: array[int]
    """The tokens of all these blocks, in order."""
    lora_name: str | None
    cache_salt: str | None


@dataclass(frozen=True, slots=True)
class BlockRemoved:
    """One block was evicted."""

    block_hash: int


@dataclass(frozen=True, slots=True)
class AllBlocksCleared:
    """The cache was reset: every block announced before is gone."""


CacheEvent = BlockStored | BlockRemoved | AllBlocksCleared


def chain_root(model: str, lora_name: str | None, cache_salt: str | None) -> int:
    """Return what a prompt's first block is chained from; different adapters or salts never share blocks."""
    return xxhash.xxh3_64_intdigest(repr((model, lora_name, cache_salt)).encode())


def extend_hashes(hashes: list[int], root: int, tokens: array[int], block_size: int, full_blocks: int) -> None:
    """Append to `hashes` the names of the blocks of `tokens` up to the first `full_blocks`."""
    name = hashes[-1] if hashes else root
    for index in range(len(hashes), full_blocks):
        block = tokens[index * block_size : (index + 1) * block_size]
        name = xxhash.xxh3_64_intdigest(block, seed=name)
        hashes.append(name)


class Block:
    """One block of the cache. Owned by a `BlockPool`; sequences hold references to it."""

    __slots__ = ("block_hash", "references")

    def __init__(self) -> None:
        self.block_hash: int | None = None
        self.references = 1


class BlockPool:
    """All blocks of one replica: allocation, sharing by hash, eviction. Lives as long as the replica."""

    def __init__(self, num_blocks: int, *, record_events: bool) -> None:
        self.num_blocks = num_blocks
        self.releases = 0
        """How often blocks were given back; who found too few need not look again while it stands still."""
        self._empty = num_blocks
        self._named: dict[int, Block] = {}
        self._evictable: OrderedDict[int, Block] = OrderedDict()
        self._record_events = record_events
        self._events: list[CacheEvent] = []

    @property
    def available(self) -> int:
        """Blocks that can be allocated now, empty or evictable."""
        return self._empty + len(self._evictable)

    @property
    def in_use(self) -> int:
        """Blocks that at least one sequence refers to."""
        return self.num_blocks - self.available

    def find_prefix(self, hashes: Sequence[int], limit: int) -> list[Block]:
        """Return the cached blocks of the longest prefix of `hashes`, at most `limit`; takes no reference."""
        found: list[Block] = []
        for name in hashes[:limit]:
            block = self._named.get(name)
            if block is None:
                break
            found.append(block)
        return found

    def available_beside(self, blocks: Sequence[Block]) -> int:
        """Return how many blocks could still be allocated after taking references to `blocks`."""
        return self.available - sum(1 for block in blocks if block.references == 0)

    def share(self, blocks: Sequence[Block]) -> None:
        """Take one reference to each of `blocks`, found by `find_prefix`."""
        for block in blocks:
            if block.references == 0 and block.block_hash is not None:
                del self._evictable[block.block_hash]
            block.references += 1

    def allocate(self, count: int) -> list[Block]:
        """Return `count` nameless blocks with one reference each, evicting what was released longest ago.

        The caller has checked that `count` is at most `available`.
        """
        if count <= self._empty:
            self._empty -= count
            return [Block() for _ in range(count)]
        evicted = count - self._empty
        self._empty = 0
        for _ in range(evicted):
            self._evict()
        return [Block() for _ in range(count)]

    def store(self, blocks: list[Block], first: int, stored: BlockStored) -> None:
        """Name one sequence's `blocks` from index `first` on, which are full, by `stored.block_hashes`.

        A block whose name is taken is replaced in `blocks` by the one that has the name.
        """
        is_new = False
        for index, name in enumerate(stored.block_hashes, start=first):
            named = self._named.get(name)
            if named is None:
                blocks[index].block_hash = name
                self._named[name] = blocks[index]
                is_new = True
            else:
                self.share([named])
                blocks[index] = named
                self._empty += 1
        if is_new and self._record_events:
            self._events.append(stored)

    def release(self, blocks: Sequence[Block]) -> None:
        """Give back one reference to each of one sequence's `blocks`, last block first."""
        self.releases += 1
        for block in reversed(blocks):
            block.references -= 1
            if block.references:
                continue
            if block.block_hash is None:
                self._empty += 1
            else:
                self._evictable[block.block_hash] = block

    def clear(self) -> bool:
        """Forget all cached content; does nothing and returns False while a block is in use."""
        if self.in_use:
            return False
        self._named.clear()
        self._evictable.clear()
        self._empty = self.num_blocks
        if self._record_events:
            self._events.append(AllBlocksCleared())
        return True

    def take_events(self) -> list[CacheEvent]:
        """Return the events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def _evict(self) -> None:
        name, _ = self._evictable.popitem(last=False)
        del self._named[name]
        if self._record_events:
            self._events.append(BlockRemoved(name))
