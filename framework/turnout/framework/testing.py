"""For authors of plugins: builders of values and checks of the contracts.

The checks call a plugin and raise ``AssertionError`` with a sentence that says which rule it broke. They are
plain functions, for use with any test runner, and are meant to be fed generated inputs.
"""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence

from turnout.framework.endpoint import EMPTY, Endpoint, EndpointMetrics
from turnout.framework.flow_control import (
    FairnessPolicy,
    FlowHead,
    OrderingPolicy,
    QueuedRequest,
    RankedFairnessPolicy,
    SaturationDetector,
    UsageLimitPolicy,
)
from turnout.framework.interfaces import DataProducer, Filter, Picker, Scorer
from turnout.framework.registry import signature_problems
from turnout.framework.request import DEFAULT_FAIRNESS_ID, PROMPT, Headers, InferenceRequest, Prompt
from turnout.framework.results import ScoredEndpoint, Scores
from turnout.framework.state import CycleState

BYTES_PER_TOKEN = 4


def make_endpoint(
    name: str = "a",
    *,
    waiting: int = 0,
    running: int = 0,
    kv_cache_utilization: float = 0.0,
    labels: Mapping[str, str] = EMPTY,
    in_flight: int = 0,
    metrics: EndpointMetrics | None = None,
) -> Endpoint:
    """An endpoint named ``default/<name>``; ``metrics`` replaces the single values.

    Names that differ in their last three letters have different addresses.
    """
    reported = metrics or EndpointMetrics(
        waiting_queue_size=waiting, running_requests=running, kv_cache_utilization=kv_cache_utilization
    )
    host = int.from_bytes(name.encode()[-3:], "big") + 1
    address = f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"
    return Endpoint(f"default/{name}", address, 8000, labels, reported, EMPTY, in_flight)


def make_request(
    request_id: str = "r1",
    *,
    model: str = "m",
    headers: Mapping[str, str] = EMPTY,
    priority: int = 0,
    fairness_id: str = DEFAULT_FAIRNESS_ID,
) -> InferenceRequest:
    """A chat request for the model."""
    return InferenceRequest(
        request_id,
        model,
        model,
        "/v1/chat/completions",
        Headers(headers.items()),
        priority=priority,
        fairness_id=fairness_id,
    )


def make_state(prompt: str | None = None, *, now: float = 0.0) -> CycleState:
    """A fresh state; with a prompt, as the request handler leaves it (4 bytes a token)."""
    state = CycleState(now)
    if prompt is not None:
        data = prompt.encode()
        state.write(PROMPT, Prompt(data, -(-len(data) // BYTES_PER_TOKEN)))
    return state


def check_signatures(plugin: object) -> None:
    """Asserts that the plugin has all members of its extension points, with their parameters."""
    problems = signature_problems(plugin)
    assert not problems, "; ".join(problems)  # noqa: S101


def check_filter(
    plugin: Filter, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
) -> Sequence[Endpoint]:
    """Asserts that the filter returns some of the given endpoints, each once, in their order; returns them."""
    check_signatures(plugin)
    before = tuple(endpoints)
    kept = plugin.filter(request, state, endpoints)
    _check(tuple(endpoints) == before, "a filter does not change the sequence it is given")
    positions = [_position(endpoint, before, "a filter returns only endpoints it was given") for endpoint in kept]
    _check(positions == sorted(set(positions)), "a filter keeps the order and repeats nothing")
    return kept


def check_scorer(plugin: Scorer, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
    """Asserts one score in [0, 1] for each endpoint, the same when asked again; returns the scores."""
    check_signatures(plugin)
    scores = plugin.score(request, state, endpoints)
    _check(len(scores) == len(endpoints), f"{len(scores)} scores for {len(endpoints)} endpoints")
    for endpoint, score in zip(endpoints, scores, strict=True):
        within = not math.isnan(score) and 0.0 <= score <= 1.0
        _check(within, f"{endpoint.name} is scored {score}, which is not within [0, 1]")
    again = plugin.score(request, state, endpoints)
    _check(list(again) == list(scores), "a scorer has no effect and repeats its answer")
    return scores


def check_picker(
    plugin: Picker, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
) -> Sequence[Endpoint]:
    """Asserts that the picker returns at least one of the candidates and none twice; returns them."""
    check_signatures(plugin)
    picked = plugin.pick(request, state, scored)
    candidates = [candidate.endpoint for candidate in scored]
    _check(len(picked) > 0, "a picker picks at least one endpoint")
    positions = [_position(endpoint, candidates, "a picker picks among the candidates") for endpoint in picked]
    _check(len(set(positions)) == len(positions), "a picker picks no endpoint twice")
    return picked


def check_producer(
    plugin: DataProducer, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
) -> CycleState:
    """Asserts that the producer writes every key of its ``writes``; returns the state. Runs its own event loop."""
    check_signatures(plugin)
    asyncio.run(plugin.produce(request, state, endpoints))
    writes: tuple[object, ...] = getattr(plugin, "writes", ())
    missing = [str(key) for key in writes if key not in state.written()]
    _check(not missing, f"declared in writes but not written: {', '.join(missing)}")
    return state


def check_ordering(plugin: OrderingPolicy, item: QueuedRequest, now: float) -> float:
    """Asserts that the rank is a number or infinite, the same when asked again; returns it."""
    check_signatures(plugin)
    rank = plugin.rank(item, now)
    _check(not math.isnan(rank), f"{item.request.request_id} is ranked {rank}")
    _check(plugin.rank(item, now) == rank, "an ordering policy has no effect and repeats its answer")
    return rank


def check_fairness(plugin: FairnessPolicy | RankedFairnessPolicy, flows: Sequence[FlowHead], now: float) -> FlowHead:
    """Asserts that the policy chooses or ranks the given flows, the same when asked again; returns who is next."""
    check_signatures(plugin)
    chosen = _next_flow(plugin, flows, now)
    _check(any(flow is chosen for flow in flows), "a fairness policy chooses among the flows it was given")
    _check(_next_flow(plugin, flows, now) is chosen, "a question has no effect and is answered the same again")
    return chosen


def _next_flow(plugin: FairnessPolicy | RankedFairnessPolicy, flows: Sequence[FlowHead], now: float) -> FlowHead:
    if isinstance(plugin, FairnessPolicy):
        return plugin.choose(flows, now)
    ranks = [plugin.flow_rank(flow, now) for flow in flows]
    for flow, (first, second, _) in zip(flows, ranks, strict=True):
        _check(not (math.isnan(first) or math.isnan(second)), f"flow {flow.fairness_id} has a rank that is no number")
    arrivals = [flow.head.enqueued_at for flow in flows]
    return flows[min(range(len(flows)), key=lambda place: (ranks[place], arrivals[place]))]


def check_detector(plugin: SaturationDetector, endpoints: Sequence[Endpoint], now: float) -> float:
    """Asserts that saturation is at least 0, the same when asked again, and 1 without endpoints; returns it."""
    check_signatures(plugin)
    _check(plugin.saturation((), now) == 1.0, "an empty pool is saturated: 1.0")
    saturation = plugin.saturation(endpoints, now)
    _check(saturation >= 0.0, f"saturation is {saturation}, which is not at least 0")
    _check(plugin.saturation(endpoints, now) == saturation, "a detector repeats its answer")
    return saturation


def check_usage_limit(plugin: UsageLimitPolicy, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
    """Asserts one ceiling of at least 0 for each priority (given highest first); returns the ceilings."""
    check_signatures(plugin)
    ceilings = plugin.ceilings(saturation, priorities)
    _check(len(ceilings) == len(priorities), f"{len(ceilings)} ceilings for {len(priorities)} priorities")
    for priority, ceiling in zip(priorities, ceilings, strict=True):
        _check(ceiling >= 0.0, f"priority {priority} has the ceiling {ceiling}, which is not at least 0")
    return ceilings


def _position(endpoint: Endpoint, among: Collection[Endpoint], rule: str) -> int:
    for position, candidate in enumerate(among):
        if candidate is endpoint:
            return position
    raise AssertionError(f"{rule}: {endpoint.name} is a stranger")


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)
