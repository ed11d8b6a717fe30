"""A pool that counts what is in flight, on virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from epp.flowcontrol.fakes import request, settings
from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.saturation import Saturation
from turnout.epp.flowcontrol.shell import FlowControl
from turnout.epp.requests.admission import Admission
from turnout.framework import CycleState, Endpoint, InferenceRequest, PluginError, QueuedRequest, Refusal
from turnout.framework.testing import make_endpoint


@dataclass
class Heard:
    """A flow observer that remembers."""

    queued: int = 0
    outcomes: list[str] = field(default_factory=list)
    saturations: list[Saturation] = field(default_factory=list)
    moves: list[tuple[int, int]] = field(default_factory=list)
    evictions: list[str] = field(default_factory=list)
    on_left: Callable[[], object] | None = None

    def entered(self, request: InferenceRequest, seconds: float) -> None:
        self.queued += 1

    def left(self, request: InferenceRequest, outcome: Outcome, waited_seconds: float, *, was_queued: bool) -> None:
        self.queued -= was_queued
        self.outcomes.append(f"{request.request_id} {outcome} {waited_seconds:.1f}")
        if self.on_left is not None:
            self.on_left()

    def moved(self, before: InferenceRequest, after: InferenceRequest) -> None:
        self.moves.append((before.priority, after.priority))

    def revoked(self, priority: int) -> None:
        self.evictions.append(f"revoked {priority}")

    def reclaiming(self, target: int, pending: int) -> None:
        self.evictions.append(f"target {target} pending {pending}")

    def confirmed(self, seconds: float, *, in_time: bool) -> None:
        self.evictions.append(f"{'confirmed' if in_time else 'timed out'} after {seconds:.2f}")

    def cycle(self, seconds: float) -> None:
        assert seconds >= 0

    def saturated(self, saturation: Saturation) -> None:
        self.saturations.append(saturation)


class Pool:
    """Endpoints by name, and flow control before them; ``InFlight`` lets one request run at each."""

    def __init__(self, names: Sequence[str] = ("a",), made: FlowControlSettings | None = None) -> None:
        self.endpoints = {name: make_endpoint(name) for name in names}
        self.heard = Heard()
        self.failures: list[PluginError] = []
        self.loop = asyncio.get_running_loop()
        self.flow = FlowControl(made or settings(), self, self.heard, self.failures.append, self.loop.time)
        self.done: list[str] = []
        self._shown: tuple[Endpoint, ...] | None = None

    def candidates(self) -> Sequence[Endpoint]:
        if self._shown is None:
            self._shown = tuple(self.endpoints.values())
        return self._shown

    def change(self, name: str, **parts: Any) -> None:
        self.endpoints[name] = replace(self.endpoints[name], **parts)
        self._changed()

    def remove(self, name: str) -> None:
        del self.endpoints[name]
        self._changed()

    def add(self, name: str) -> None:
        self.endpoints[name] = make_endpoint(name)
        self._changed()

    def load(self, name: str, amount: int) -> None:
        self.change(name, in_flight=self.endpoints[name].in_flight + amount)

    async def ask(self, sent: InferenceRequest, subset: tuple[str, ...] | None = None) -> Admission | Refusal:
        return await self.flow.enter(sent, CycleState(self.loop.time()), subset)

    def send(self, name: str, priority: int = 0, seconds: float = 10.0, **more: Any) -> "asyncio.Task[str]":
        """A request that takes so long at the least loaded of its endpoints."""
        sent = request(name, priority, received_at=self.loop.time(), **more)
        return asyncio.ensure_future(self._serve(sent, seconds))

    async def _serve(self, sent: InferenceRequest, seconds: float) -> str:
        admitted = await self.ask(sent)
        if isinstance(admitted, Refusal):
            return admitted.dropped_reason
        served = self.flow.endpoints_for(sent, self.candidates())
        name = min(served, key=lambda endpoint: endpoint.in_flight).name.removeprefix("default/")
        self.load(name, 1)
        admitted.settled()
        self.done.append(sent.request_id)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.load(name, -1)
        return "served"

    def run(self, name: str, priority: int, task: "asyncio.Task[str]") -> bool:
        """Says of a request that was sent that it runs, and can be taken back by cancelling it."""
        item = QueuedRequest(request(name, priority), self.loop.time())
        return self.flow.running(_Cancellable(item, task, self.loop.time()))

    def _changed(self) -> None:
        self._shown = None
        self.flow.wake()


@dataclass(eq=False)
class _Cancellable:
    queued: QueuedRequest
    task: "asyncio.Task[str]"
    dispatched_at: float

    def evict(self, refusal: Refusal) -> bool:
        return self.task.cancel()

    def add_end_listener(self, listener: Callable[[], object]) -> None:
        self.task.add_done_callback(lambda task: listener())
