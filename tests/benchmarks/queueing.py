"""What flow control costs: entering the queue and leaving it, by how many wait, and requests per second through it."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from turnout.config import FlowControlSettings, load_pipeline
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.policies import Policies
from turnout.epp.flowcontrol.saturation import SaturationGauge
from turnout.epp.flowcontrol.turns import LaneView, next_turn
from turnout.epp.gateway.options import Address, OverrideHost
from turnout.epp.gateway.process import EnvoyProcess
from turnout.framework import PROMPT, CycleState, Endpoint, Prompt, QueuedRequest
from turnout.framework.testing import make_endpoint, make_request

from .children import Child, endpoint_picker, upstream
from .figures import BenchmarkError, Figure, Plan, Samples, in_turns, kept_per_item, value_of
from .gateways import Connection, connections, gateway_options
from .pools import chat_body

DEPTHS = (1_000, 10_000, 100_000)
FLOWS = 1_000
ENDPOINTS = 100
P99_SECONDS_1000 = 1e-3
# A hundred times the requests: the logarithm grows by 1.7 (2^10 to 2^17).
LOGARITHMIC_GROWTH = 1.7
CONNECTIONS = 16
REPETITIONS = 3

ORDERS: Mapping[str, str] = {
    "order of arrival": "",
    "round robin": "defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}",
    "tokens by tenant": "defaultPriorityBand: {fairnessPolicyRef: token-fairness-policy}",
    "adaptive": "strategy: adaptive",
}
_CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}]
flowControl:
  maxRequests: 1M
  saturationDetector: {pluginRef: utilization-detector}
"""


async def queue_depth(plan: Plan) -> list[Figure]:
    """One request enters and one is dispatched, while so many wait in 1,000 flows and 5 priorities."""
    figures: list[Figure] = []
    for name, line in ORDERS.items():
        queues = {str(depth): Queue(line, depth) for depth in DEPTHS}
        calls: dict[str, Callable[[], object]] = {depth: queue.turn_over for depth, queue in queues.items()}
        samples = in_turns(calls, plan.pick(5, 3), plan.pick(2_000, 300))
        figures += _of_order(name, samples)
        plan.advance(1 / (len(ORDERS) + 1))
    per_request = kept_per_item(lambda: Queue("", 20_000).entries)
    figures.append(Figure("queue", "kept for a queued request, its body aside", "bytes", value_of([per_request])))
    return figures


def _of_order(name: str, samples: Mapping[str, Samples]) -> list[Figure]:
    figures = []
    for depth in map(str, DEPTHS):
        budget = P99_SECONDS_1000 if depth == "1000" else None
        figures.append(Figure("queue", f"{name}, {depth} wait, p50", "s", samples[depth].percentile(50)))
        figures.append(Figure("queue", f"{name}, {depth} wait, p99", "s", samples[depth].percentile(99), budget=budget))
    growth = samples["100000"].over(samples["1000"], 50)
    figures.append(Figure("queue", f"{name}, 100000 over 1000, p50", "x", growth, budget=LOGARITHMIC_GROWTH))
    return figures


class Queue:
    """So many requests that wait before 100 endpoints; ``turn_over`` lets one in and one out, as the server does."""

    def __init__(self, line: str, depth: int) -> None:
        settings = _settings(line)
        limits = Limits(settings)
        self._core = FlowController(limits, Policies(limits, _failed))
        self._gauge = SaturationGauge(settings.detector, Guard(_failed))
        self._draw = random.Random(depth)
        self._now = 100.0
        self._endpoints = _endpoints()
        self.entries = [self._enter() for _ in range(depth)]

    def turn_over(self) -> None:
        self._enter()
        core, now = self._core, self._now
        core.advance(now)
        core.expire(now)
        saturation = self._gauge.read(self._endpoints, now).effective
        turn = next_turn([(lane, LaneView(self._endpoints, saturation)) for lane in core.lanes], core.policies, now)
        if not isinstance(turn, Entry):
            raise BenchmarkError(f"nobody's turn came: {turn}")
        core.dispatch(turn, now)

    def _enter(self) -> Entry:
        self._now += 1e-4
        draw = self._draw
        request = make_request("r", priority=draw.randrange(-2, 3), fairness_id=f"tenant-{draw.randrange(FLOWS)}")
        state = CycleState(self._now)
        state.write(PROMPT, Prompt(tokens=draw.randrange(100, 4000)))
        item = QueuedRequest(request, self._now, state=state)
        self._core.limits.refusal(request.priority, 100)
        return self._core.add(item, "all", self._now, pool_empty=False)


def _settings(line: str) -> FlowControlSettings:
    settings = load_pipeline(f"{_CONFIG}  {line}\n").flow_control
    if settings is None:
        raise BenchmarkError("the configuration has no flow control")
    return settings


def _endpoints() -> Sequence[Endpoint]:
    # Never stale: the detector reads ages from when the values were observed.
    seen = {"waiting_queue_size": 1e9, "kv_cache_utilization": 1e9}
    plain = [make_endpoint(f"e{number}", waiting=1, kv_cache_utilization=0.2) for number in range(ENDPOINTS)]
    return tuple(_observed(endpoint, seen) for endpoint in plain)


def _observed(endpoint: Endpoint, seen: Mapping[str, float]) -> Endpoint:
    metrics = type(endpoint.metrics)(waiting_queue_size=1, kv_cache_utilization=0.2, observed_at=seen)
    return Endpoint(endpoint.name, endpoint.address, endpoint.port, metrics=metrics)


def _failed(error: Exception) -> None:
    raise BenchmarkError(f"a policy failed: {error}")


# --- through Envoy ---------------------------------------------------------------------------------------

_SERVED = Path("config/profiles/default.yaml")
_OFF, _ON, _FULL = "off", "on, nobody waits", "on, 4 at a time: 12 of 16 wait"


def _served_config(limit: int | None) -> str:
    text = _SERVED.read_text()
    if limit is None:
        return text
    detector = f"- type: concurrency-detector\n  parameters: {{maxConcurrency: {limit}}}\n"
    text = text.replace("plugins:\n", f"plugins:\n{detector}", 1)
    return text + (
        "featureGates: [flowControl]\nflowControl: {saturationDetector: {pluginRef: concurrency-detector}}\n"
    )


async def queue_throughput(plan: Plan) -> list[Figure]:
    """A closed loop of 16 connections and 2 KB prompts on each picker in turns; all share the machine."""
    configs = {_OFF: _served_config(None), _ON: _served_config(1000), _FULL: _served_config(1)}
    bodies = [chat_body(2048, number) for number in range(512)]
    rates: dict[str, list[float]] = {name: [] for name in configs}
    cpu: dict[str, list[float]] = {name: [] for name in configs}
    async with _pickers(configs) as running:
        for repetition in range(1 + REPETITIONS):
            for name, (port, picker) in running.items():
                rate, busy = await _window(port, picker, bodies, plan.pick(2, 1) if repetition else 1)
                if repetition:  # the first warms up
                    rates[name].append(rate)
                    cpu[name].append(busy)
                plan.advance(1 / (len(configs) * (1 + REPETITIONS)))
    off = value_of(rates[_OFF])
    figures = []
    for name in configs:
        baseline = None if name == _OFF else off
        figures.append(
            Figure("queued", f"flow control {name}", "requests/s", value_of(rates[name]), baseline, "flow control off")
        )
        figures.append(Figure("queued", f"the picker's CPU for a request, {name}", "s", value_of(cpu[name])))
    return figures


@contextlib.asynccontextmanager
async def _pickers(configs: Mapping[str, str]) -> AsyncIterator[Mapping[str, tuple[int, Child]]]:
    async with contextlib.AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(upstream(4))
        endpoints = tuple(Address.parse(address) for address in addresses)
        listed = [part for address in addresses for part in ("--endpoint", f"http://{address}")]
        running = {}
        for name, config in configs.items():
            picker = await stack.enter_async_context(endpoint_picker("--config-text", config, *listed))
            options = gateway_options(OverrideHost(endpoints), "buffered", picker.announced["grpc_port"])
            await stack.enter_async_context(EnvoyProcess(options))
            running[name] = (options.listen.port, picker)
        yield running


async def _window(port: int, picker: Child, bodies: Sequence[bytes], seconds: float) -> tuple[float, float]:
    async with connections(port, CONNECTIONS) as clients:
        busy, started = picker.cpu_seconds(), time.perf_counter()
        counts = await asyncio.gather(*map(partial(_loop, bodies, started + seconds), clients))
        elapsed, used = time.perf_counter() - started, picker.cpu_seconds() - busy
    return sum(counts) / elapsed, used / sum(counts)


async def _loop(bodies: Sequence[bytes], until: float, client: Connection) -> int:
    count = 0
    while time.perf_counter() < until:
        await client.post(bodies[count % len(bodies)])
        count += 1
    return count
