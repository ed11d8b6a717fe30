"""Guesses what engines have cached from what was sent to them, and corrects itself by what they report."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    GaugeReading,
    Histogram,
    HistogramReading,
    InferenceRequest,
    PluginName,
    Reading,
    SchedulingResult,
    StateKey,
    Termination,
)
from turnout.plugins.prefix_cache.agreement import Agreement, Prediction
from turnout.plugins.prefix_cache.blocks import BYTES_PER_TOKEN, hash_bytes
from turnout.plugins.prefix_cache.common_prefix import CommonPrefix
from turnout.plugins.prefix_cache.correction import CapacityCorrection
from turnout.plugins.prefix_cache.index import DEFAULT_MAX_BYTES, MIN_MAX_BYTES, PrefixIndex
from turnout.plugins.prefix_cache.index_snapshot import KIND, IndexSnapshot
from turnout.plugins.prefix_cache.keys import DEFAULT_PRODUCER, PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.parameters import at_least
from turnout.plugins.prefix_cache.roll_call import RollCall
from turnout.plugins.prefix_cache.snapshot import SnapshotKeeper

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
PREFILL_PROFILE = "prefill"

# Smaller blocks cost more hashes and memory than their precision is worth.
MIN_BLOCK_SIZE_TOKENS = 64

# An engine may report any number; this bounds what one endpoint can make us keep to about 110 MB.
MAX_TUNED_CAPACITY_BLOCKS = 500_000

FREED_BLOCKS_PER_REQUEST = 256

_RATIO_BOUNDS = tuple(tenth / 10 for tenth in range(11))
_BYTES_BOUNDS = (0, *(2**power for power in range(4, 17)))


@dataclass(frozen=True, slots=True)
class _Chain:
    blocks: Sequence[int]
    block_size_tokens: int
    tokens: int


class ApproxPrefixCacheProducer:
    """Publishes, for each endpoint, how many leading blocks of the prompt were sent to it before.

    A dispatched prompt is remembered for the destination and for the endpoint of the profile named ``prefill``.
    Sizes are in tokens of 4 prompt bytes. The block size is at least 64 tokens. With ``auto_tune`` the block size is
    the largest that the engine of a candidate reports, and each endpoint remembers as many blocks as its engine's
    cache holds (at most 500,000), more or fewer when the engine reports more or fewer cached tokens than expected;
    without a report, and without ``auto_tune``, the parameters apply. At most ``max_prefix_tokens_to_match`` tokens
    of a prompt are looked at. ``block_size`` (tokens) and ``max_prefix_blocks_to_match`` are deprecated and used only
    where the parameter that replaces them is 0.

    The capacity is that of the engine's cache and, beside it, room for the prompts that are on their way: they wait
    outside of the cache, and the cache keeps what was sent before them. An engine's order of eviction is that of the
    ends of requests, so a prompt counts as used when its answer is complete.

    All endpoints together take at most ``max_index_bytes``; see ``PrefixIndex``. An endpoint that was not a candidate
    for 120 seconds is forgotten, and so is what an engine held that restarted since.

    With a ``snapshot_path`` the index is written there every ``snapshot_interval_seconds`` and read at the start.

    Raises:
        ValueError: a size is out of range, or both parameters of one size are 0.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        auto_tune: bool = True,
        block_size_tokens: int = 16,
        block_size: int = 0,
        max_prefix_tokens_to_match: int = 131072,
        max_prefix_blocks_to_match: int = 2048,
        lru_capacity_per_server: int = 31250,
        max_index_bytes: int = DEFAULT_MAX_BYTES,
        snapshot_path: str = "",
        snapshot_interval_seconds: float = 60.0,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        at_least("block_size_tokens", block_size_tokens, 0)
        at_least("block_size", block_size, 0 if block_size_tokens else 1)
        at_least("max_prefix_tokens_to_match", max_prefix_tokens_to_match, 0)
        at_least("max_prefix_blocks_to_match", max_prefix_blocks_to_match, 0 if max_prefix_tokens_to_match else 1)
        at_least("lru_capacity_per_server", lru_capacity_per_server, 1)
        at_least("max_index_bytes", max_index_bytes, MIN_MAX_BYTES)
        at_least("snapshot_interval_seconds", snapshot_interval_seconds, 1)
        self._auto_tune = auto_tune
        self._block_size_tokens = max(MIN_BLOCK_SIZE_TOKENS, block_size_tokens or block_size)
        self._max_tokens = max_prefix_tokens_to_match
        self._max_blocks = max_prefix_blocks_to_match
        self._capacity = lru_capacity_per_server
        self._matches_key = PREFIX_MATCHES.of(name)
        self._chain_key = StateKey[_Chain]("prefix-chain", producer=name)
        self._computing_key = StateKey[Sequence[Endpoint]]("prefix-computing", producer=name)
        self._prediction_key = StateKey[Prediction]("prefix-prediction", producer=name)
        self.writes = (self._matches_key,)
        self._index = PrefixIndex(max_index_bytes)
        self._agreement = Agreement()
        self._correction = CapacityCorrection()
        self._roll_call = RollCall()
        self._common = CommonPrefix()
        # Blocks of requests that were dispatched and have not ended, by endpoint name.
        self._on_their_way = Counter[str]()
        self._keeper = self._keeper_of(snapshot_path, snapshot_interval_seconds) if snapshot_path else None
        self._hit_ratio = Histogram(_RATIO_BOUNDS)
        self._hit_bytes = Histogram(_BYTES_BOUNDS)

    async def run(self) -> None:
        """Keeps the snapshot, if one is configured."""
        if self._keeper is not None:
            await self._keeper.run()

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the matches of the request's prompt; a request without a prompt has no blocks."""
        self._note_seen(endpoints, state.now)
        self._index.tidy(FREED_BLOCKS_PER_REQUEST)
        size = self._tuned_block_size()
        prompt = state.get(PROMPT)
        blocks = hash_bytes(prompt, request.target_model, size, self._blocks_to_match(size)) if prompt else []
        tokens = -(-len(prompt.data) // BYTES_PER_TOKEN) if prompt else 0
        state.write(self._chain_key, _Chain(blocks, size, tokens))
        matches = PrefixMatches(self._index.match(blocks), len(blocks), size, common_blocks=self._common.note(blocks))
        state.write(self._matches_key, matches)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Remembers the prompt for the endpoints that will compute it."""
        chain = state.get(self._chain_key)
        # The blocks are those of the model that was asked for; another one's cache has none of them.
        if chain is None or not chain.blocks or result.target_model:
            return
        matches = state.get(self._matches_key)
        found = matches.blocks.get(result.endpoint.name, 0) if matches else 0
        self._hit_ratio.observe(found / len(chain.blocks))
        self._hit_bytes.observe(found * chain.block_size_tokens * BYTES_PER_TOKEN)
        computing = computing_endpoints(result)
        if len(computing) == 1:
            self._predict(state, chain, found, result.endpoint)
        state.write(self._computing_key, computing)
        for endpoint in computing:
            self._roll_call.present(endpoint, state.now)
            self._on_their_way[endpoint.name] += len(chain.blocks)
            self._remember(endpoint, chain)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Compares what was expected in the cache with what the engine says that it found there."""
        chain = state.get(self._chain_key)
        for endpoint in state.get(self._computing_key, ()):
            if chain is not None:
                self._arrived(endpoint, chain, completion)
        self._agreement.completed(state.get(self._prediction_key), completion, state.now)

    def emptied(self, name: str) -> None:
        """The cache of the endpoint was emptied: what was sent to it before counts no longer."""
        self._forget_blocks(name)

    def readings(self) -> Iterable[Reading]:
        """The size of the index, what of the prompts was found where they were sent, predictions and reports."""
        yield GaugeReading("prefix_indexer_size", "Blocks remembered, summed over endpoints.", len(self._index))
        yield HistogramReading("prefix_indexer_hit_ratio", "Share of a prompt found at its endpoint.", self._hit_ratio)
        yield HistogramReading("prefix_indexer_hit_bytes", "Bytes of a prompt found at its endpoint.", self._hit_bytes)
        yield from self._agreement.readings()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Predictions and reports by endpoint, the blocks each holds, and where they disagree."""
        size = self._tuned_block_size()
        own = {
            endpoint.name: {
                "blocks": self._index.held(endpoint.name),
                "capacity_blocks": self._tuned_capacity(endpoint, size),
                "capacity_factor": round(self._correction.factor(endpoint.name), 3),
            }
            for endpoint in endpoints
        }
        return Diagnosis(self._agreement.findings(now), self._agreement.figures(now, own))

    def _predict(self, state: CycleState, chain: _Chain, found: int, endpoint: Endpoint) -> None:
        """What will be found at the endpoint; of a prompt that another one computes, nothing can be said."""
        name, size = endpoint.name, chain.block_size_tokens
        prediction = Prediction(min(found * size, chain.tokens), chain.tokens, size)
        state.write(self._prediction_key, prediction)
        self._agreement.sent(name, prediction, state.now)
        if self._auto_tune and self._correction.due(name, state.now):
            held, capacity = self._index.held(name), self._reported_capacity(endpoint, size)
            self._correction.review(name, self._agreement.total(name), held, capacity, state.now)

    def _remember(self, endpoint: Endpoint, chain: _Chain) -> None:
        capacity = self._tuned_capacity(endpoint, chain.block_size_tokens) + self._on_their_way[endpoint.name]
        self._index.add(endpoint.name, chain.blocks, min(MAX_TUNED_CAPACITY_BLOCKS, capacity))

    def _arrived(self, endpoint: Endpoint, chain: _Chain, completion: Completion) -> None:
        self._on_their_way[endpoint.name] -= len(chain.blocks)
        if not self._on_their_way[endpoint.name]:
            del self._on_their_way[endpoint.name]
        # What was forgotten meanwhile, because the engine restarted or the endpoint left, stays so.
        if completion.cause is Termination.NATURAL and endpoint.name in self._index:
            self._remember(endpoint, chain)

    def _tuned_block_size(self) -> int:
        reported = self._roll_call.largest_block_size if self._auto_tune else 0
        return max(MIN_BLOCK_SIZE_TOKENS, reported) if reported > 0 else self._block_size_tokens

    def _tuned_capacity(self, endpoint: Endpoint, block_size_tokens: int) -> int:
        if not self._auto_tune:
            return self._capacity
        corrected = self._reported_capacity(endpoint, block_size_tokens) * self._correction.factor(endpoint.name)
        return min(MAX_TUNED_CAPACITY_BLOCKS, max(1, int(corrected)))

    def _reported_capacity(self, endpoint: Endpoint, block_size_tokens: int) -> int:
        cached_tokens = endpoint.metrics.cache_num_blocks * endpoint.metrics.cache_block_size
        return max(1, cached_tokens // block_size_tokens) if cached_tokens > 0 else self._capacity

    def _blocks_to_match(self, block_size_tokens: int) -> int:
        return max(1, self._max_tokens // block_size_tokens) if self._max_tokens else self._max_blocks

    def _note_seen(self, endpoints: Sequence[Endpoint], now: float) -> None:
        for endpoint in self._roll_call.next(endpoints, now):
            if self._agreement.observe(endpoint, now):
                self._forget_blocks(endpoint.name)
                self._correction.start_over(endpoint.name, self._agreement.total(endpoint.name), now)
        for name in self._roll_call.departed():
            self._forget_blocks(name)
            self._agreement.forget(name)
            self._correction.forget(name)

    def _forget_blocks(self, name: str) -> None:
        if name in self._index:
            self._index.remove(name)

    def _keeper_of(self, path: str, interval_seconds: float) -> SnapshotKeeper:
        content = IndexSnapshot(self._index, self._agreement, self._roll_call)
        return SnapshotKeeper(Path(path), KIND, interval_seconds, content.restore, content.copy)


def computing_endpoints(result: SchedulingResult) -> list[Endpoint]:
    """The endpoints that will have computed the prompt: the destination, and that of the profile ``prefill``."""
    endpoints = [result.endpoint]
    prefill = result.profiles.get(PREFILL_PROFILE)
    if prefill is not None and prefill.picked[0].name != result.endpoint.name:
        endpoints.append(prefill.picked[0])
    return endpoints
