"""Holds requests that arrive together for a moment and sends those with one prompt to one endpoint."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from turnout.framework import PROMPT, CycleState, Endpoint, InferenceRequest, PluginName
from turnout.plugins.prefix_cache.blocks import hash_bytes
from turnout.plugins.prefix_cache.burst_groups import UNLIMITED, BurstRequest, BurstRules, assign
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.parameters import at_least

BalanceBy: TypeAlias = Literal["requests", "tokens"]

DEFAULT_NAME = PluginName("burst-prefix-cache-producer")
MAX_WINDOW_MS = 10_000
DEFAULT_MAX_BLOCKS = 2048

# What a request may take beyond the window before its time limit ends it.
MARGIN_SECONDS = 0.3


Future: TypeAlias = asyncio.Future[str | None]


@dataclass(slots=True)
class _Batch:
    """Requests that wait for each other, and the endpoints that they may go to, by their names."""

    closing: asyncio.TimerHandle
    waiting: dict[Future, BurstRequest] = field(default_factory=dict)
    endpoints: dict[tuple[str, ...], Sequence[Endpoint]] = field(default_factory=dict)
    _latest: Sequence[Endpoint] = ()
    _latest_names: tuple[str, ...] = ()

    def names(self, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
        """Their names; requests that were given the same sequence share one tuple."""
        if endpoints is not self._latest:
            self._latest = endpoints
            self._latest_names = tuple(endpoint.name for endpoint in endpoints)
            self.endpoints[self._latest_names] = endpoints
        return self._latest_names


class BurstPrefixCacheProducer:
    """Publishes prefix matches under its own name: all blocks at the endpoint that a request is meant for, else none.

    A request waits up to ``window_duration_ms`` for others (at most 10,000), or until ``max_batch_size`` of them wait
    (-1: no bound); then all are assigned at once. Requests with the same prompt and model go to one endpoint, at most
    ``max_per_replica`` to each (-1: no bound); what exceeds all endpoints gets no match. With ``min_colocate_blocks``
    above 0 prompts that share as many leading blocks are kept together, too, as far as the balance allows.
    ``balance_by`` says what is balanced over the endpoints within a batch: the number of requests, or the prompt
    tokens that are to be computed. Between equally loaded endpoints those with fewer requests in flight come first.

    A request that shares its prompt with no other, or has none, gets no match; the latter does not wait. Blocks have
    ``block_size_tokens`` tokens of 4 prompt bytes; at most ``max_prefix_tokens_to_match`` tokens are looked at, 0
    means 2048 blocks. A request that is given up leaves its batch. Memory: the block hashes of the waiting requests,
    about 45 bytes for each block.

    Raises:
        ValueError: a number is out of its range.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        window_duration_ms: int = 100,
        max_per_replica: int = UNLIMITED,
        block_size_tokens: int = 64,
        max_prefix_tokens_to_match: int = 0,
        min_colocate_blocks: int = 0,
        max_batch_size: int = 1000,
        balance_by: BalanceBy = "requests",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not 1 <= window_duration_ms <= MAX_WINDOW_MS:
            raise ValueError(f"window_duration_ms must be within [1, {MAX_WINDOW_MS}], got {window_duration_ms}")
        _limit("max_per_replica", max_per_replica)
        at_least("block_size_tokens", block_size_tokens, 1)
        at_least("max_prefix_tokens_to_match", max_prefix_tokens_to_match, 0)
        if 0 < max_prefix_tokens_to_match < block_size_tokens:
            bound = f"0 or at least block_size_tokens ({block_size_tokens})"
            raise ValueError(f"max_prefix_tokens_to_match must be {bound}, got {max_prefix_tokens_to_match}")
        at_least("min_colocate_blocks", min_colocate_blocks, 0)
        _limit("max_batch_size", max_batch_size)
        self.time_limit_seconds = window_duration_ms / 1000.0 + MARGIN_SECONDS
        self._window_seconds = window_duration_ms / 1000.0
        self._block_size_tokens = block_size_tokens
        self._max_blocks = max_prefix_tokens_to_match // block_size_tokens or DEFAULT_MAX_BLOCKS
        self._max_batch_size = max_batch_size
        self._rules = BurstRules(max_per_replica, min_colocate_blocks, by_blocks=balance_by == "tokens")
        self._matches_key = PREFIX_MATCHES.of(name)
        self.writes = (self._matches_key,)
        self._batch: _Batch | None = None
        self._turn = 0

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the match, after at most the window."""
        prompt, size = state.get(PROMPT), self._block_size_tokens
        blocks = hash_bytes(prompt, request.target_model, size, self._max_blocks) if prompt else []
        chosen = await self._assigned(blocks, endpoints) if blocks and endpoints else None
        matched = {} if chosen is None else {chosen: len(blocks)}
        state.write(self._matches_key, PrefixMatches(matched, len(blocks), size))

    async def _assigned(self, blocks: Sequence[int], endpoints: Sequence[Endpoint]) -> str | None:
        loop = asyncio.get_running_loop()
        batch = self._batch
        if batch is None:
            batch = self._batch = _Batch(loop.call_later(self._window_seconds, self._close))
        future: Future = loop.create_future()
        batch.waiting[future] = BurstRequest(blocks, batch.names(endpoints))
        if len(batch.waiting) == self._max_batch_size:
            self._close()
        try:
            return await future
        finally:
            self._leave(batch, future)

    def _leave(self, batch: _Batch, future: Future) -> None:
        """Given up before the end: the batch goes on without the request, and without any it is gone."""
        batch.waiting.pop(future, None)
        if batch is self._batch and not batch.waiting:
            batch.closing.cancel()
            self._batch = None

    def _close(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        batch.closing.cancel()
        # One that was given up a moment ago has not left yet.
        waiting = {future: request for future, request in batch.waiting.items() if not future.done()}
        batch.waiting = {}
        chosen = assign(list(waiting.values()), self._preference(batch), self._rules)
        for future, replica in zip(waiting, chosen, strict=True):
            future.set_result(replica)

    def _preference(self, batch: _Batch) -> list[str]:
        """Fewest requests in flight first; equals take turns, so that small bursts do not all meet at the first."""
        in_flight = {endpoint.name: endpoint.in_flight for seen in batch.endpoints.values() for endpoint in seen}
        names = list(in_flight)
        self._turn = (self._turn + 1) % len(names)
        return sorted(names[self._turn :] + names[: self._turn], key=in_flight.__getitem__)


def _limit(parameter: str, value: int) -> None:
    if value != UNLIMITED and value < 1:
        raise ValueError(f"{parameter} must be {UNLIMITED} or at least 1, got {value}")
