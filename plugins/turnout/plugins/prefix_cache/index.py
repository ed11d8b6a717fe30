"""Which endpoints hold which prefix blocks.

Theory of operation. Block hashes are chained, so a hash stands for a whole prefix. A table maps each hash to a bit
mask with one bit for each endpoint that holds the block. It is cut into 256 dictionaries by the hash's last bits: one
alone would block the event loop for 0.7 s when it grows beyond 3 million blocks. A lookup walks the chain and keeps the
mask of the endpoints that have matched every block so far: its cost grows with the number of blocks, and with
an endpoint only where that endpoint's match ends.

Each endpoint also keeps its hashes in order of use. A chain is touched from its end to its start, so that its
first block is the most recently used one and its last block goes first: what is left of a chain is always a
prefix, and a prefix that chains share outlives their branches.

Memory: 120 to 220 bytes for each block of each endpoint as a rule, the less the more endpoints hold the same blocks.
A bound in bytes becomes one in blocks by ``bytes_per_block``, which is the most that was measured. When it is reached,
blocks of departed endpoints go first; after them the endpoints that hold more than an equal share give up what they
used least recently, in turns. An added block costs at most one such block, so an addition stays as cheap as its chain
is long.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# A dictionary whose entries come and go is emptiest when it has just been renewed, at a sixth of its places; measured
# with all of them at that point. tests/benchmarks/prefix.py repeats it.
_BYTES_OF_A_BLOCK = 360
# A mask of its own has a bit for each endpoint; 15 of the 30 bits of a digit, as at least two endpoints share it.
_ENDPOINTS_TO_A_BYTE = 15

DEFAULT_MAX_BYTES = 1 << 30
MIN_MAX_BYTES = 1 << 20

FREED_AT_ONCE = 1_024
"""Blocks that one addition drops beyond what it adds when the capacity of its endpoint has fallen."""

_GIVEN_UP_IN_A_TURN = 64

_SHARDS = 256
_SHARD = _SHARDS - 1


def bytes_per_block(endpoints: int) -> int:
    """The most that a block of one endpoint takes when this many endpoints were ever there at one time."""
    return _BYTES_OF_A_BLOCK + endpoints // _ENDPOINTS_TO_A_BYTE


@dataclass(slots=True)
class _Holder:
    slot: int
    bit: int
    # Least recently used first; the values carry nothing.
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)


class PrefixIndex:
    """Block hashes by endpoint name, the least recently used ones dropped above an endpoint's capacity.

    All endpoints together hold at most ``max_bytes``.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_blocks = max_bytes // bytes_per_block(0)
        self._masks: list[dict[int, int]] = [{} for _ in range(_SHARDS)]
        self._holders: dict[str, _Holder] = {}
        self._names: list[str] = []
        self._free_slots: list[int] = []
        self._live = 0
        self._leaving: list[_Holder] = []
        self._count = 0
        self._share = self._max_blocks
        # Holders above the share, by slot; the next to give up blocks first.
        self._rich: OrderedDict[int, _Holder] = OrderedDict()

    def __len__(self) -> int:
        """Blocks held, over all endpoints, including those of removed endpoints that are not cleared yet."""
        return self._count

    def __contains__(self, name: str) -> bool:
        """Whether the endpoint has been added and not removed."""
        return name in self._holders

    @property
    def max_blocks(self) -> int:
        """How many blocks fit into the bound of bytes, over all endpoints."""
        return self._max_blocks

    def endpoints(self) -> list[str]:
        """Names of the endpoints that have been added and not removed."""
        return list(self._holders)

    def held(self, name: str) -> int:
        """How many blocks the endpoint holds; 0 for one that is unknown."""
        holder = self._holders.get(name)
        return len(holder.blocks) if holder else 0

    def blocks(self, name: str) -> Iterable[int]:
        """The endpoint's blocks, most recently used first; to be read before the index changes."""
        holder = self._holders.get(name)
        return reversed(holder.blocks) if holder else iter(())

    def match(self, chain: Sequence[int]) -> dict[str, int]:
        """For each endpoint that holds the first block, how many leading blocks it holds without a gap."""
        matches: dict[str, int] = {}
        masks = self._masks
        matching = self._live
        for depth, block in enumerate(chain):
            remaining = matching & masks[block & _SHARD].get(block, 0)
            if remaining != matching:
                if depth:
                    self._note(matching ^ remaining, depth, matches)
                if not remaining:
                    return matches
                matching = remaining
        if chain:
            self._note(matching, len(chain), matches)
        return matches

    def _note(self, mask: int, depth: int, matches: dict[str, int]) -> None:
        names = self._names
        while mask:
            slot = mask.bit_length() - 1
            matches[names[slot]] = depth
            mask ^= 1 << slot

    def add(self, name: str, chain: Sequence[int], capacity: int) -> None:
        """The endpoint holds the chain from now on; ``capacity`` is how many blocks it may hold, at least 1.

        A capacity that has fallen is reached step by step, by at least 1,024 blocks with each addition.
        """
        holder = self._holders.get(name) or self._join(name)
        before = len(holder.blocks)
        self._touch(holder, chain)
        added = len(holder.blocks) - before
        self._count += added
        self._shrink(holder, min(len(holder.blocks) - capacity, added + FREED_AT_ONCE))
        # As many as were added, so that endpoints which come and go never leave faster than they are cleared.
        self.tidy(added)
        self._rank(holder)
        if self._count > self._max_blocks:
            self._give_up(self._count - self._max_blocks)

    def remove(self, name: str) -> None:
        """Forgets the endpoint. Its blocks no longer match; ``tidy`` frees their memory step by step."""
        holder = self._holders.pop(name)
        self._live ^= holder.bit
        self._leaving.append(holder)
        self._share_out()

    def tidy(self, limit: int) -> None:
        """Frees up to ``limit`` blocks of removed endpoints, so that no single call pays for a whole endpoint."""
        while self._leaving:
            holder = self._leaving[-1]
            freed = min(limit, len(holder.blocks))
            self._shrink(holder, freed)
            limit -= freed
            if holder.blocks:
                return
            self._leaving.pop()
            self._free_slots.append(holder.slot)

    def _touch(self, holder: _Holder, chain: Sequence[int]) -> None:
        blocks, masks, bit = holder.blocks, self._masks, holder.bit
        # Neighbours in a chain are mostly held by the same endpoints and then share one mask, too.
        before, after = 0, bit
        for block in reversed(chain):
            if block in blocks:
                blocks.move_to_end(block)
            else:
                blocks[block] = None
                shard = masks[block & _SHARD]
                mask = shard.get(block, 0)
                if mask != before:
                    before, after = mask, mask | bit
                shard[block] = after

    def _join(self, name: str) -> _Holder:
        if self._free_slots:
            slot = self._free_slots.pop()
            self._names[slot] = name
        else:
            slot = len(self._names)
            self._names.append(name)
            self._max_blocks = self._max_bytes // bytes_per_block(slot + 1)
        holder = self._holders[name] = _Holder(slot, 1 << slot)
        self._live |= holder.bit
        self._share_out()
        return holder

    def _shrink(self, holder: _Holder, count: int) -> None:
        if count <= 0:
            return
        masks, blocks = self._masks, holder.blocks
        before, after = 0, 0
        for _ in range(count):
            block, _ = blocks.popitem(last=False)
            shard = masks[block & _SHARD]
            mask = shard[block]
            if mask != before:
                before, after = mask, mask ^ holder.bit
            if after:
                shard[block] = after
            else:
                del shard[block]
        self._count -= count

    def _share_out(self) -> None:
        """The number of endpoints has changed, and with it everybody's share."""
        self._share = self._max_blocks // max(1, len(self._holders))
        self._rich = OrderedDict(
            (holder.slot, holder) for holder in self._holders.values() if len(holder.blocks) > self._share
        )

    def _rank(self, holder: _Holder) -> None:
        if len(holder.blocks) > self._share:
            self._rich.setdefault(holder.slot, holder)
        else:
            self._rich.pop(holder.slot, None)

    def _give_up(self, count: int) -> None:
        """Drops so many blocks of those who have more than their share; there are some while the bound is passed."""
        cleared = self._count
        self.tidy(count)
        count -= cleared - self._count
        while count > 0:
            _, holder = self._rich.popitem(last=False)
            given = min(count, len(holder.blocks) - self._share, _GIVEN_UP_IN_A_TURN)
            self._shrink(holder, given)
            count -= given
            self._rank(holder)
