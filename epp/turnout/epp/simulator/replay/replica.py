"""One simulated replica of a replay: its engine, and what a scrape of it tells the data layer."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import xxhash

from turnout.epp.simulator.driver import EngineDriver
from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import generate_words
from turnout.framework import EndpointMetrics, EndpointSpec

PORT = 8000

_REPORTED = (
    *("waiting_queue_size", "running_requests", "kv_cache_utilization"),
    *("active_adapters", "waiting_adapters", "max_active_adapters", "cache_block_size", "cache_num_blocks"),
)


class Replica:
    """An engine on the running loop's clock. ``run`` is its life; it ends by cancellation.

    ``number`` counts from 0 and makes its name and address; answers are random words by ``seed``.
    """

    def __init__(self, number: int, config: EngineConfig, seed: int) -> None:
        self.spec = EndpointSpec(f"replay/replica-{number}", f"10.0.{number >> 8}.{number & 255}", PORT, {})
        self.destination = f"{self.spec.address}:{PORT}"
        self._config = config
        self._seed = seed
        self._engine = Engine(config)
        self._driver = EngineDriver(self._engine, 1.0, lambda: 1.0, lambda _: None)
        self.run = self._driver.run

    async def answer(
        self, request_id: str, prompt: array[int], output_tokens: int, first_token: Callable[[], None]
    ) -> int:
        """Generates a whole answer and calls ``first_token`` at its first; returns the prompt tokens found cached.

        Raises:
            EngineStoppedError: ``run`` has ended.
        """
        # Answers differ, so that what was generated takes room in the cache and is nobody else's prefix.
        output = generate_words(xxhash.xxh3_64_intdigest(request_id.encode(), seed=self._seed), output_tokens)
        generation = self._driver.open(GenerationRequest(request_id, prompt, output))
        try:
            await generation.reach(1)
            first_token()
            await generation.reach(output_tokens)
            return generation.cached_tokens
        finally:
            self._driver.close(generation)

    def metrics(self, now: float) -> EndpointMetrics:
        """What the engine reports at this moment."""
        seen = self._engine.snapshot()
        return EndpointMetrics(
            waiting_queue_size=seen.waiting,
            running_requests=seen.running,
            kv_cache_utilization=seen.kv_cache_usage,
            active_adapters=frozenset(seen.running_adapters),
            waiting_adapters=frozenset(seen.waiting_adapters),
            max_active_adapters=self._config.max_loras,
            cache_block_size=self._config.block_size,
            cache_num_blocks=self._config.num_blocks,
            observed_at=dict.fromkeys(_REPORTED, now),
        )

    def prefix_cache(self) -> tuple[int, int]:
        """Prompt tokens looked up in the prefix cache so far, and those found."""
        seen = self._engine.snapshot()
        return seen.prefix_cache_queries, seen.prefix_cache_hits
