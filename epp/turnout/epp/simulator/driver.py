"""Runs an engine on the event loop's clock and hands its tokens to whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from turnout.epp.simulator.blocks import CacheEvent
from turnout.epp.simulator.engine import Engine, StepResult
from turnout.epp.simulator.sequence import GenerationRequest

_MOST_CATCHING_UP_SECONDS = 0.25
"""A loop that was held up longer than this loses the time instead of rushing through the missed steps."""


class EngineStoppedError(Exception):
    """The engine's task has ended, so no more tokens will come."""


class Generation:
    """The progress of one request; built by `EngineDriver.open` and owned by the request's handler."""

    __slots__ = ("_failure", "_waiter", "_wanted", "cached_tokens", "emitted", "request")

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.emitted = 0
        """Tokens generated so far."""
        self.cached_tokens = 0
        """Prompt tokens found in the prefix cache; known with the last token."""
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._failure: EngineStoppedError | None = None

    async def reach(self, count: int) -> int:
        """Wait until at least `count` tokens are generated and return how many are.

        Raises:
            EngineStoppedError: they will never be.

        """
        if self.emitted < count:
            if self._failure is not None:
                raise self._failure
            self._wanted = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.emitted

    def advance(self) -> None:
        """Count one more token."""
        self.emitted += 1
        if self._waiter is not None and self.emitted >= self._wanted and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: EngineStoppedError) -> None:
        """Tell the waiting handler, and any later one, that no more tokens come."""
        self._failure = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class EngineDriver:
    """Drives one engine. Each step ends at an absolute deadline, so that the cost of running it does not add
    up.

    `time_scale` is in wall-clock seconds per simulated second; `slowdown` is read at each step and multiplies
    it; `on_step` is called after each step with its cache events. The engine's `now` is the loop's clock: its
    latencies are what a client would measure.
    """

    def __init__(
        self,
        engine: Engine,
        time_scale: float,
        slowdown: Callable[[], float],
        on_step: Callable[[Sequence[CacheEvent]], None],
    ) -> None:
        self._engine = engine
        self._time_scale = time_scale
        self._slowdown = slowdown
        self._on_step = on_step
        self._generations: dict[str, Generation] = {}
        self._arrived = asyncio.Event()
        self._stopped = False

    def open(self, request: GenerationRequest) -> Generation:
        """Submit a request to the engine; the caller must `close` what it gets.

        Raises:
            ValueError: the engine refuses the request.
            EngineStoppedError: the engine's task has ended.

        """
        if self._stopped:
            raise EngineStoppedError
        self._engine.submit(request, asyncio.get_running_loop().time())
        generation = Generation(request)
        self._generations[request.request_id] = generation
        self._arrived.set()
        return generation

    def close(self, generation: Generation) -> None:
        """Forget a request; one that has not finished leaves the engine now."""
        request_id = generation.request.request_id
        if self._generations.pop(request_id, None) is not None:
            self._engine.cancel(request_id)

    async def run(self) -> None:
        """Run steps until cancelled; a request that is then unfinished gets an `EngineStoppedError`."""
        try:
            await self._run_steps()
        finally:
            self._stopped = True
            for generation in self._generations.values():
                generation.fail(EngineStoppedError())

    async def _run_steps(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock()
        while True:
            now = clock()
            duration = self._engine.start_step(now)
            if duration is None:
                self._arrived.clear()
                await self._arrived.wait()
                deadline = clock()
                continue
            earliest = now - _MOST_CATCHING_UP_SECONDS
            deadline = max(deadline, earliest) + duration * self._time_scale * self._slowdown()
            await asyncio.sleep(max(deadline - now, 0.0))
            self._deliver(self._engine.finish_step(clock()))

    def _deliver(self, result: StepResult) -> None:
        for finished in result.finished:
            self._generations[finished.request_id].cached_tokens = finished.cached_tokens
        for request_id, _ in result.tokens:
            self._generations[request_id].advance()
        for finished in result.finished:
            del self._generations[finished.request_id]
        self._on_step(result.events)
