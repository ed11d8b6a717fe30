"""Guesses what engines have cached from what was sent to them, without asking the engines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnout.framework import (
    PROMPT,
    CycleState,
    Endpoint,
    GaugeReading,
    Histogram,
    HistogramReading,
    InferenceRequest,
    PluginName,
    Reading,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.prefix_cache.blocks import BYTES_PER_TOKEN, hash_bytes
from turnout.plugins.prefix_cache.index import PrefixIndex
from turnout.plugins.prefix_cache.keys import DEFAULT_PRODUCER, PREFIX_MATCHES, PrefixMatches

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
PREFILL_PROFILE = "prefill"

# Smaller blocks cost more hashes and memory than their precision is worth.
MIN_BLOCK_SIZE_TOKENS = 64

# An engine may report any number; this bounds what one endpoint can make us keep to about 110 MB.
MAX_TUNED_CAPACITY_BLOCKS = 500_000

# A departed endpoint is forgotten this long after it was last among the candidates.
FORGET_AFTER_SECONDS = 120.0
NOTE_SEEN_EVERY_SECONDS = 1.0
FREED_BLOCKS_PER_REQUEST = 256

_RATIO_BOUNDS = tuple(tenth / 10 for tenth in range(11))
_BYTES_BOUNDS = (0, *(2**power for power in range(4, 17)))


@dataclass(frozen=True, slots=True)
class _Chain:
    blocks: Sequence[int]
    block_size_tokens: int


class ApproxPrefixCacheProducer:
    """Publishes, for each endpoint, how many leading blocks of the prompt were sent to it before.

    A dispatched prompt is remembered for the destination and for the endpoint of the profile named ``prefill``.
    Sizes are in tokens of 4 prompt bytes. The block size is at least 64 tokens. With ``auto_tune`` the
    block size is the one the first candidate's engine reports, and each endpoint remembers as many blocks as
    its engine's cache holds (at most 500,000); without a report, and without ``auto_tune``, the parameters apply.
    At most ``max_prefix_tokens_to_match`` tokens of a prompt are looked at. ``block_size`` (tokens) and
    ``max_prefix_blocks_to_match`` are deprecated and used only where the parameter that replaces them is 0.

    Memory grows with the number of endpoints times the blocks each may remember; see ``PrefixIndex``. An endpoint
    that was not a candidate for 120 seconds is forgotten.

    Raises:
        ValueError: a size is negative, or both parameters of one size are 0.
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
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        _at_least("block_size_tokens", block_size_tokens, 0)
        _at_least("block_size", block_size, 0 if block_size_tokens else 1)
        _at_least("max_prefix_tokens_to_match", max_prefix_tokens_to_match, 0)
        _at_least("max_prefix_blocks_to_match", max_prefix_blocks_to_match, 0 if max_prefix_tokens_to_match else 1)
        _at_least("lru_capacity_per_server", lru_capacity_per_server, 1)
        self._auto_tune = auto_tune
        self._block_size_tokens = max(MIN_BLOCK_SIZE_TOKENS, block_size_tokens or block_size)
        self._max_tokens = max_prefix_tokens_to_match
        self._max_blocks = max_prefix_blocks_to_match
        self._capacity = lru_capacity_per_server
        self._matches_key = PREFIX_MATCHES.of(name)
        self._chain_key = StateKey[_Chain]("prefix-chain", producer=name)
        self.writes = (self._matches_key,)
        self._index = PrefixIndex()
        self._last_seen: dict[str, float] = {}
        self._note_seen_at = 0.0
        self._hit_ratio = Histogram(_RATIO_BOUNDS)
        self._hit_bytes = Histogram(_BYTES_BOUNDS)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the matches of the request's prompt; a request without a prompt has no blocks."""
        self._note_seen(endpoints, state.now)
        self._index.tidy(FREED_BLOCKS_PER_REQUEST)
        size = self._tuned_block_size(endpoints)
        prompt = state.get(PROMPT)
        blocks = hash_bytes(prompt, request.target_model, size, self._blocks_to_match(size)) if prompt else []
        state.write(self._chain_key, _Chain(blocks, size))
        state.write(self._matches_key, PrefixMatches(self._index.match(blocks), len(blocks), size))

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Remembers the prompt for the endpoints that will compute it."""
        chain = state.get(self._chain_key)
        if chain is None or not chain.blocks:
            return
        self._note_hit(state, chain, result)
        for endpoint in _computing(result):
            self._index.add(endpoint.name, chain.blocks, self._tuned_capacity(endpoint, chain.block_size_tokens))
            self._last_seen[endpoint.name] = state.now

    def readings(self) -> Iterable[Reading]:
        """The size of the index, and what of the prompts was found at the endpoints they were sent to."""
        yield GaugeReading("prefix_indexer_size", "Blocks remembered, summed over endpoints.", len(self._index))
        yield HistogramReading("prefix_indexer_hit_ratio", "Share of a prompt found at its endpoint.", self._hit_ratio)
        yield HistogramReading("prefix_indexer_hit_bytes", "Bytes of a prompt found at its endpoint.", self._hit_bytes)

    def _note_hit(self, state: CycleState, chain: _Chain, result: SchedulingResult) -> None:
        matches = state.get(self._matches_key)
        found = matches.blocks.get(result.endpoint.name, 0) if matches else 0
        self._hit_ratio.observe(found / len(chain.blocks))
        self._hit_bytes.observe(found * chain.block_size_tokens * BYTES_PER_TOKEN)

    def _tuned_block_size(self, endpoints: Sequence[Endpoint]) -> int:
        reported = endpoints[0].metrics.cache_block_size if self._auto_tune and endpoints else 0
        return max(MIN_BLOCK_SIZE_TOKENS, reported) if reported > 0 else self._block_size_tokens

    def _tuned_capacity(self, endpoint: Endpoint, block_size_tokens: int) -> int:
        cached_tokens = endpoint.metrics.cache_num_blocks * endpoint.metrics.cache_block_size
        if not self._auto_tune or cached_tokens <= 0:
            return self._capacity
        return min(MAX_TUNED_CAPACITY_BLOCKS, max(1, cached_tokens // block_size_tokens))

    def _blocks_to_match(self, block_size_tokens: int) -> int:
        return max(1, self._max_tokens // block_size_tokens) if self._max_tokens else self._max_blocks

    def _note_seen(self, endpoints: Sequence[Endpoint], now: float) -> None:
        if now < self._note_seen_at or not self._last_seen:
            return
        self._note_seen_at = now + NOTE_SEEN_EVERY_SECONDS
        for endpoint in endpoints:
            if endpoint.name in self._last_seen:
                self._last_seen[endpoint.name] = now
        departed = [name for name, seen in self._last_seen.items() if now - seen >= FORGET_AFTER_SECONDS]
        for name in departed:
            del self._last_seen[name]
            self._index.remove(name)


def _computing(result: SchedulingResult) -> list[Endpoint]:
    endpoints = [result.endpoint]
    prefill = result.profiles.get(PREFILL_PROFILE)
    if prefill is not None and prefill.picked[0].name != result.endpoint.name:
        endpoints.append(prefill.picked[0])
    return endpoints


def _at_least(parameter: str, value: int, bound: int) -> None:
    if value < bound:
        raise ValueError(f"{parameter} must be at least {bound}, got {value}")
