"""Applies the KV events of one publisher to the index.

An engine with hybrid attention announces the blocks of several groups of layers. A prefix can be reused as far as the
full-attention layers have it, so their blocks are the ones that are kept; what other groups hold is passed over.

An engine that computes a block which it holds already has two copies of it, announces both, and removes each. But vLLM
also announces blocks again that it only reuses, for requests that ask for it (``kv_cache_report_mode``), and never
removes those. Such an event begins with a prompt's first block, so an event that does adds no copies: the few real ones
that begin there (of requests for prompt logprobs) are given up too early, which costs a computation, where a copy that
is not there would be believed for ever.

An event for a slower tier of memory may name blocks without their tokens. They are the ones that the engine announced
under the same names before, so they get the keys that these have.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from turnout.plugins.prefix_cache.blocks import by_number, chain_root, hash_tokens
from turnout.plugins.prefix_cache.held import HeldBlocks, Shelf, Site
from turnout.plugins.prefix_cache.kv_events import AllCleared, BlocksRemoved, BlocksStored, EventBatch
from turnout.plugins.prefix_cache.tiers import Tiers

MAX_RANKS = 64
"""Ranks behind one publisher; batches of further ones are passed over."""

MAX_BLOCK_SIZE = 1 << 16
"""Tokens. No engine has blocks of this size."""

# Layers whose blocks say how far a prefix can be reused. No kind at all is what engines said before they had several.
_FULL_ATTENTION = ("", "unknown", "full_attention", "mla_attention", "sink_full_attention")
_UNNAMED = ("", "unknown")


class EngineBlocks:
    """What one publisher announced. ``block_size`` is in tokens, 0 before the first block.

    ``is_all_told`` says that the engine cleared its cache and told everything since, whatever was missed before.

    ``adapters`` collects the names of LoRA adapters that events mention; several publishers may share one set. The
    counters count since the start: ``stored`` and ``removed`` blocks, ``clears``, and ``skipped`` blocks by reason.
    """

    def __init__(self, endpoint: str, held: HeldBlocks, tiers: Tiers, adapters: "KnownAdapters") -> None:
        self.endpoint = endpoint
        self.block_size = 0
        self.is_all_told = False
        self.stored = 0
        self.removed = 0
        self.clears = 0
        self.skipped: Counter[str] = Counter()
        self._held = held
        self._tiers = tiers
        self._adapters = adapters
        self._ranks: dict[int, _Rank] = {}
        # When each expected block, by our key, ceases to be.
        self._expected: dict[int, float] = {}

    @property
    def blocks(self) -> int:
        """Blocks announced and held now, over all ranks and tiers."""
        expected = self._tiers.expected
        return sum(len(rank.site) - len(rank.site.shelves[expected].keys) for rank in self._ranks.values())

    def apply(self, batch: EventBatch) -> None:
        """Takes in one batch, event after event."""
        rank = self._rank(batch.rank or 0)
        if rank is None:
            self._skip("too-many-ranks", 1)
            return
        for event in batch.events:
            match event:
                case BlocksStored():
                    self._store(rank, event)
                case BlocksRemoved():
                    self._remove(rank, event)
                case AllCleared():
                    self.clears += 1
                    self._clear(rank)
                    # Other ranks may hold what they never told.
                    self.is_all_told = len(self._ranks) == 1

    def reset(self) -> None:
        """Forgets everything that was announced, and what was expected."""
        for rank in self._ranks.values():
            self._clear(rank)
        self.block_size = 0
        self.is_all_told = False

    def close(self) -> None:
        """Leaves the index; the object must not be used again."""
        for rank in self._ranks.values():
            self._held.leave(rank.site)
        self._ranks.clear()
        self._expected.clear()

    def expect(self, keys: Sequence[int], expires_at: float) -> bool:
        """Counts blocks as held because they were sent here; returns whether they do count.

        Each does until the engine announces it, clears its cache, or ``expire`` is called with the same time or a later
        one. They count on the first rank, for nobody knows which one it is; without one they do not count.
        """
        rank = self._rank(0)
        if rank is None:
            return False
        self._expected.update(dict.fromkeys(keys, expires_at))
        # A block has one entry, under our name of it, so that it can be found when it is announced.
        self._held.store(rank.site, self._tiers.expected, zip(keys, keys, strict=True), counts_copies=False)
        return True

    def expire(self, keys: Iterable[int], now: float) -> None:
        """Ends the time of those that are not expected for longer."""
        self._expect_no_more([key for key in keys if self._expected.get(key, math.inf) <= now])

    # --- for a snapshot ----------------------------------------------------------------------------------

    @property
    def groups(self) -> dict[int, int]:
        """By rank the group of layers whose blocks are kept, where it is known."""
        return {number: rank.group for number, rank in self._ranks.items() if rank.group is not None}

    def announced(self) -> Iterator[tuple[int, int, Shelf]]:
        """(rank, tier, blocks) of everything that was announced; to be read before the index changes."""
        for number, rank in self._ranks.items():
            for tier, shelf in enumerate(rank.site.shelves):
                if tier != self._tiers.expected and shelf.keys:
                    yield number, tier, shelf

    def put_back(self, number: int, tier: int, blocks: Sequence[tuple[int, int]]) -> None:
        """Holds blocks that were announced in an earlier life, each as (the engine's name, our key).

        Raises:
            ValueError: there is no such rank or tier.
        """
        rank = self._rank(number)
        if rank is None or not 0 <= tier < self._tiers.expected:
            raise ValueError(f"there is no rank {number} or no tier {tier}")
        self._held.store(rank.site, tier, blocks)

    def put_back_copies(self, number: int, tier: int, name: int, copies: int) -> None:
        """Holds so many further copies of a block that was put back.

        Raises:
            ValueError: the block was not put back, or the number is not positive.
        """
        rank = self._ranks.get(number)
        if rank is None or copies < 1 or name not in rank.site.shelves[tier].keys:
            raise ValueError(f"{copies} copies of a block that is not there")
        rank.site.shelves[tier].copies[name] = copies

    def resume(self, block_size: int, groups: Mapping[int, int]) -> None:
        """Goes on where an earlier life ended.

        Raises:
            ValueError: the block size makes no sense.
        """
        if not 0 <= block_size <= MAX_BLOCK_SIZE:
            raise ValueError(f"a block size of {block_size} tokens")
        self.block_size = block_size
        for number, group in groups.items():
            if (rank := self._ranks.get(number)) is not None:
                rank.group = group

    # --- inside ------------------------------------------------------------------------------------------

    def _skip(self, reason: str, count: int) -> None:
        if count:
            self.skipped[reason] += count

    def _expect_no_more(self, keys: Sequence[int]) -> None:
        if not keys:
            return
        for key in keys:
            self._expected.pop(key, None)
        self._held.remove(self._ranks[0].site, self._tiers.expected, keys)

    def _rank(self, number: int) -> "_Rank | None":
        rank = self._ranks.get(number)
        if rank is None and len(self._ranks) < MAX_RANKS:
            rank = self._ranks[number] = _Rank(self._held.join(self.endpoint))
            self.is_all_told = False
        return rank

    def _clear(self, rank: "_Rank") -> None:
        if rank is self._ranks.get(0):
            self._expected.clear()
        self._held.clear(rank.site)
        rank.group = None

    def _store(self, rank: "_Rank", event: BlocksStored) -> None:
        if event.lora_name:
            self._adapters.add(event.lora_name)
        tier = self._tiers.of(event.medium)
        if tier is None:
            self._skip("unknown-medium", len(event.hashes))
        elif not rank.is_main(event.group, event.kind):
            self._skip("other-attention", len(event.hashes))
        elif event.token_ids:
            self._store_tokens(rank.site, tier, event)
        else:
            self._store_known(rank.site, tier, event)

    def _store_tokens(self, site: Site, tier: int, event: BlocksStored) -> None:
        if not 0 < event.block_size <= MAX_BLOCK_SIZE:
            self._skip("block-size", len(event.hashes))
            return
        parent = (
            chain_root("", event.salt, event.lora_name or "") if event.parent is None else site.key_of(event.parent)
        )
        if parent is None:
            self._skip("unknown-parent", len(event.hashes))
            return
        keys = hash_tokens(event.token_ids, event.block_size, parent, extras=by_number(event.extras))
        if len(keys) != len(event.hashes):
            self._skip("token-count", len(event.hashes))
            return
        self.block_size = event.block_size
        self.stored += len(keys)
        if self._expected:
            self._expect_no_more([key for key in keys if key in self._expected])
        self._held.store(site, tier, zip(event.hashes, keys, strict=True), counts_copies=event.parent is not None)

    def _store_known(self, site: Site, tier: int, event: BlocksStored) -> None:
        known = [(name, key) for name in event.hashes if (key := site.key_of(name)) is not None]
        self._skip("unknown-block", len(event.hashes) - len(known))
        self.stored += len(known)
        self._held.store(site, tier, known)

    def _remove(self, rank: "_Rank", event: BlocksRemoved) -> None:
        tier = self._tiers.of(event.medium)
        # Groups share names: what another group gives up the main one may still hold.
        if tier is None or rank.group not in (None, event.group):
            self._skip("removal-elsewhere", len(event.hashes))
            return
        unknown = self._held.remove(rank.site, tier, event.hashes)
        self.removed += len(event.hashes) - unknown
        self._skip("removal-unknown", unknown)


class _Rank:
    """One rank's place in the index, and the group of layers whose blocks are kept (None before the first)."""

    __slots__ = ("group", "site")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.group: int | None = None

    def is_main(self, group: int, kind: str) -> bool:
        """Whether blocks of this group are kept; the first full-attention group is, for as long as the cache lives."""
        if self.group is not None:
            return group == self.group
        if kind not in _FULL_ATTENTION or (kind in _UNNAMED and group != 0):
            return False
        self.group = group
        return True


class KnownAdapters:
    """Names of LoRA adapters that engines mentioned, at most ``limit``: a hostile engine may invent any number."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Notes a name, while there is room."""
        if len(self._names) < self._limit:
            self._names.add(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names
