"""Which endpoints hold which prefix blocks.

Theory of operation. Block hashes are chained, so a hash stands for a whole prefix. One dictionary maps each
hash to a bit mask with one bit for each endpoint that holds the block. A lookup walks the chain and keeps the
mask of the endpoints that have matched every block so far: its cost grows with the number of blocks, and with
an endpoint only where that endpoint's match ends.

Each endpoint also keeps its hashes in order of use. A chain is touched from its end to its start, so that its
first block is the most recently used one and its last block goes first: what is left of a chain is always a
prefix, and a prefix that chains share outlives their branches.

Memory: 120 to 220 bytes for each block of each endpoint, the less the more endpoints hold the same blocks,
bounded by the capacities given to ``add``.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Holder:
    slot: int
    bit: int
    # Least recently used first; the values carry nothing.
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)


class PrefixIndex:
    """Block hashes by endpoint name, the least recently used ones dropped above an endpoint's capacity."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._holders: dict[str, _Holder] = {}
        self._names: list[str] = []
        self._free_slots: list[int] = []
        self._live = 0
        self._leaving: list[_Holder] = []

    def __len__(self) -> int:
        """Blocks held, over all endpoints, including those of removed endpoints that are not cleared yet."""
        holders = (*self._holders.values(), *self._leaving)
        return sum(len(holder.blocks) for holder in holders)

    def endpoints(self) -> list[str]:
        """Names of the endpoints that have been added and not removed."""
        return list(self._holders)

    def match(self, chain: Sequence[int]) -> dict[str, int]:
        """For each endpoint that holds the first block, how many leading blocks it holds without a gap."""
        matches: dict[str, int] = {}
        masks = self._masks
        matching = self._live
        for depth, block in enumerate(chain):
            remaining = matching & masks.get(block, 0)
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
        """The endpoint holds the chain from now on; ``capacity`` is how many blocks it may hold, at least 1."""
        holder = self._holders.get(name) or self._join(name)
        blocks, masks, bit = holder.blocks, self._masks, holder.bit
        for block in reversed(chain):
            if block in blocks:
                blocks.move_to_end(block)
            else:
                blocks[block] = None
                masks[block] = masks.get(block, 0) | bit
        self._shrink(holder, len(blocks) - capacity)

    def remove(self, name: str) -> None:
        """Forgets the endpoint. Its blocks no longer match; ``tidy`` frees their memory step by step."""
        holder = self._holders.pop(name)
        self._live ^= holder.bit
        self._leaving.append(holder)

    def tidy(self, limit: int) -> None:
        """Frees up to ``limit`` blocks of removed endpoints, so that no single call pays for a whole endpoint."""
        if not self._leaving:
            return
        holder = self._leaving[-1]
        self._shrink(holder, min(limit, len(holder.blocks)))
        if not holder.blocks:
            self._leaving.pop()
            self._free_slots.append(holder.slot)

    def _join(self, name: str) -> _Holder:
        if self._free_slots:
            slot = self._free_slots.pop()
            self._names[slot] = name
        else:
            slot = len(self._names)
            self._names.append(name)
        holder = self._holders[name] = _Holder(slot, 1 << slot)
        self._live |= holder.bit
        return holder

    def _shrink(self, holder: _Holder, count: int) -> None:
        masks = self._masks
        for _ in range(count):
            block, _ = holder.blocks.popitem(last=False)
            mask = masks[block] ^ holder.bit
            if mask:
                masks[block] = mask
            else:
                del masks[block]
