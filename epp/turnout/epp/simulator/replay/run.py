"""One replay: the requests of a trace arrive on virtual time, are routed, and answered by simulated engines."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.replica import Replica
from turnout.epp.simulator.replay.routers import Placement, Router, RouterFactory
from turnout.epp.simulator.replay.trace import TracedRequest
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.epp.simulator.tokens import tokenize
from turnout.framework import Refusal

MAX_ENDPOINTS = 1024


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The replicas of a replay and how the router sees them.

    Raises:
        ValueError: an option is out of its range.
    """

    endpoints: int = 8
    engine: EngineConfig = field(default_factory=EngineConfig)
    scrape_interval_seconds: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.endpoints <= MAX_ENDPOINTS:
            raise ValueError(f"endpoints must be from 1 to {MAX_ENDPOINTS}, got {self.endpoints}")
        if not 0.0 < self.scrape_interval_seconds < float("inf"):
            raise ValueError(f"scrape_interval must be above 0, got {self.scrape_interval_seconds:g}")


@dataclass(slots=True)
class Outcome:
    """What came of the requests. Times are in virtual seconds except ``wall_seconds``; tokens are the engines' counts.

    ``refused`` counts by message. ``per_endpoint`` holds the requests of each replica, idle ones included.
    """

    ttfts: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    per_endpoint: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    plugin_failures: int = 0
    virtual_seconds: float = 0.0
    wall_seconds: float = 0.0


def replay(
    requests: Sequence[TracedRequest],
    options: ReplayOptions,
    make_router: RouterFactory,
    on_end: Callable[[], None] = lambda: None,
) -> Outcome:
    """Replays the requests, which are in order of arrival, from empty caches; ``on_end`` follows each of them.

    Raises:
        KeyboardInterrupt: SIGINT came.
        ValueError: a request is longer than an engine takes.
    """
    longest = max(request.input_tokens + request.output_tokens for request in requests)
    if longest > options.engine.max_model_len:
        raise ValueError(f"a request of {longest} tokens exceeds max_model_len ({options.engine.max_model_len})")
    started = time.perf_counter()
    outcome = run_virtually(_Replay(requests, options, make_router, on_end).run())
    outcome.wall_seconds = time.perf_counter() - started
    return outcome


class _Replay:
    def __init__(
        self,
        requests: Sequence[TracedRequest],
        options: ReplayOptions,
        make_router: RouterFactory,
        on_end: Callable[[], None],
    ) -> None:
        self._requests = requests
        self._options = options
        self._make_router = make_router
        self._on_end = on_end
        self._outcome = Outcome()
        self._replicas = [Replica(number, options.engine, options.seed) for number in range(options.endpoints)]
        self._by_destination = {replica.destination: replica for replica in self._replicas}
        self._served = Counter[str]()

    async def run(self) -> Outcome:
        clock = asyncio.get_running_loop().time
        store = EndpointStore(clock)
        store.replace([replica.spec for replica in self._replicas])
        router = self._make_router(store, clock)
        started = clock()
        background = [asyncio.create_task(replica.run()) for replica in self._replicas]
        background += [
            asyncio.create_task(self._scrape(store, replica, place / len(self._replicas)))
            for place, replica in enumerate(self._replicas)
        ]
        try:
            async with asyncio.TaskGroup() as answers:
                for number, request in enumerate(self._requests):
                    await asyncio.sleep(max(0.0, started + request.arrival_seconds - clock()))
                    answers.create_task(self._serve(router, number, request))
        finally:
            for task in background:
                task.cancel()
        return self._summed_up(router, clock() - started)

    async def _scrape(self, store: EndpointStore, replica: Replica, phase: float) -> None:
        """Scrapes one replica; phases (0 to 1) spread the replicas over the interval."""
        clock = asyncio.get_running_loop().time
        interval = self._options.scrape_interval_seconds
        store.update(replica.spec.name, replica.metrics(clock()))
        await asyncio.sleep(interval * phase)
        while True:
            store.update(replica.spec.name, replica.metrics(clock()))
            await asyncio.sleep(interval)

    async def _serve(self, router: Router, number: int, request: TracedRequest) -> None:
        request_id = f"request-{number}"
        prompt = request.prompt()
        arrived = asyncio.get_running_loop().time()
        placed = await router.place(request_id, prompt)
        if isinstance(placed, Refusal):
            self._outcome.refused[placed.message] += 1
        else:
            tokens = tokenize(prompt)
            # Thousands of requests may wait in queues; their texts need not.
            del prompt
            await self._answer(placed, request_id, tokens, request.output_tokens, arrived)
        self._on_end()

    async def _answer(
        self, placed: Placement, request_id: str, prompt: array[int], output_tokens: int, arrived: float
    ) -> None:
        clock = asyncio.get_running_loop().time
        outcome = self._outcome
        replica = self._by_destination[placed.destination]
        self._served[placed.destination] += 1

        def first_token() -> None:
            outcome.ttfts.append(clock() - arrived)
            placed.first_token()

        placed.accepted()
        cached = await replica.answer(request_id, prompt, output_tokens, first_token)
        outcome.durations.append(clock() - arrived)
        placed.ended(len(prompt), output_tokens, cached)

    def _summed_up(self, router: Router, virtual_seconds: float) -> Outcome:
        outcome = self._outcome
        for replica in self._replicas:
            queried, hit = replica.prefix_cache()
            outcome.prompt_tokens += queried
            outcome.cached_tokens += hit
        outcome.per_endpoint = [self._served[replica.destination] for replica in self._replicas]
        outcome.plugin_failures = router.failures
        outcome.virtual_seconds = virtual_seconds
        return outcome
