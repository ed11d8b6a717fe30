"""The strategies as functions, for programs that have the requests and the endpoints and need no proxy.

Both are synchronous and change nothing that they are given, but for an adaptive strategy and for pickers that draw,
which have a memory of their own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from turnout.framework import (
    AdaptivePolicy,
    CycleState,
    EffectivePriority,
    Endpoint,
    InferenceRequest,
    NoEndpointsError,
    QueuedRequest,
    QueueMix,
    SaturationDetector,
    Scheduler,
    SchedulerProfile,
)
from turnout.plugins.strategies.adaptive import AdaptiveOrderingPolicy
from turnout.plugins.strategies.aging import AgingOrderingPolicy
from turnout.plugins.strategies.cost_optimized import CostOptimizedOrderingPolicy
from turnout.plugins.strategies.fifo import FifoOrderingPolicy
from turnout.plugins.strategies.priority import PriorityOrderingPolicy
from turnout.plugins.strategies.slo_aware import SloAwareOrderingPolicy
from turnout.plugins.strategies.strategy import Strategy

STRATEGIES: Mapping[str, Callable[[], Strategy]] = MappingProxyType(
    {
        "fifo": FifoOrderingPolicy,
        "priority": PriorityOrderingPolicy,
        "slo-aware": SloAwareOrderingPolicy,
        "cost-optimized": CostOptimizedOrderingPolicy,
        "adaptive": AdaptiveOrderingPolicy,
        "aging": AgingOrderingPolicy,
    }
)
"""What makes each strategy, with default parameters."""


@dataclass(frozen=True, slots=True)
class Prioritized:
    """A request in its place: its rank within the band of its effective priority, and why.

    ``item`` is what was given, or made of what was given.
    """

    request: InferenceRequest
    rank: float
    effective_priority: int
    reason: str
    item: QueuedRequest


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a request goes and why it had its turn; or None, and why it goes nowhere for the moment.

    The endpoint is as it was when it was picked, with the earlier assignments in flight.
    """

    request: InferenceRequest
    endpoint: Endpoint | None
    reason: str


def prioritize(
    requests: Iterable[InferenceRequest | QueuedRequest], strategy: str | Strategy = "priority", *, now: float
) -> list[Prioritized]:
    """The requests in the order in which they should go, the next one first.

    Overdue ones come first, then the highest effective priority, then the lowest rank, then whoever came first.
    ``now`` is in seconds on the clock of ``received_at``. A request without a queue entry has waited since it was
    received, and nothing is known of its prompt; give a ``QueuedRequest`` whose state has ``PROMPT`` to strategies
    that look at it. Flows are not told apart.

    Raises:
        ValueError: there is no strategy of this name.
    """
    items = _items(requests)
    return _in_order(items, _strategy_for(strategy, items, 1.0, now), now)


def schedule(
    requests: Iterable[InferenceRequest | QueuedRequest],
    endpoints: Sequence[Endpoint],
    strategy: str | Strategy = "priority",
    *,
    profile: SchedulerProfile | Scheduler,
    now: float,
    detector: SaturationDetector | None = None,
) -> list[Assignment]:
    """Sends the requests to endpoints, one after the other, in the order of ``prioritize``.

    Each assignment counts as in flight and as waiting at its endpoint for those after it. When the ``detector`` sees
    a saturation of 1 or more, the requests that are left go nowhere. Data producers do not run: what scorers and
    filters read must be in the state of a ``QueuedRequest``, which is copied and not changed.

    Raises:
        ValueError: there is no strategy of this name.
        PluginError: a plugin of the profile raised or broke its contract; names it.
    """
    items, pool = _items(requests), tuple(endpoints)
    saturation = 1.0 if detector is None else detector.saturation(pool, now)
    assignments = []
    for one in _in_order(items, _strategy_for(strategy, items, saturation, now), now):
        saturation = 0.0 if detector is None else detector.saturation(pool, now)
        if saturation >= 1.0:
            problem = f"the pool is full: its saturation is {saturation:.3g}"
            assignments.append(Assignment(one.request, None, problem))
            continue
        assignment = _assign(one, pool, profile, now)
        assignments.append(assignment)
        picked = assignment.endpoint.name if assignment.endpoint is not None else ""
        pool = tuple(each.with_more_requests(1) if each.name == picked else each for each in pool)
    return assignments


def _items(requests: Iterable[InferenceRequest | QueuedRequest]) -> list[QueuedRequest]:
    return [
        request if isinstance(request, QueuedRequest) else QueuedRequest(request, request.received_at)
        for request in requests
    ]


def _strategy_for(strategy: str | Strategy, items: Sequence[QueuedRequest], saturation: float, now: float) -> Strategy:
    if isinstance(strategy, str):
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
        strategy = STRATEGIES[strategy]()
    if isinstance(strategy, AdaptivePolicy):
        strategy.adapt(_mix(items, saturation), now)
    return strategy


def _mix(items: Sequence[QueuedRequest], saturation: float) -> QueueMix:
    with_target = sum(item.request.ttft_target is not None for item in items)
    high = sum(item.request.priority > 0 for item in items)
    count = max(1, len(items))
    return QueueMix(len(items), with_target / count, high / count, saturation)


def _in_order(items: Sequence[QueuedRequest], strategy: Strategy, now: float) -> list[Prioritized]:
    placed = [(item, strategy.effective_priority(item, now), strategy.rank(item, now)) for item in items]
    placed.sort(key=lambda place: _sort_key(place[0], place[1], place[2], now))
    return [
        Prioritized(item.request, rank, effective.priority, strategy.reason(item, now), item)
        for item, effective, rank in placed
    ]


def _sort_key(
    item: QueuedRequest, effective: EffectivePriority, rank: float, now: float
) -> tuple[bool, float, int, float, float]:
    if effective.overdue_at <= now:
        return False, effective.overdue_at, 0, 0.0, item.enqueued_at
    return True, 0.0, -effective.priority, rank, item.enqueued_at


def _assign(
    one: Prioritized, pool: Sequence[Endpoint], profile: SchedulerProfile | Scheduler, now: float
) -> Assignment:
    state = CycleState(now)
    for key, value in one.item.state.written().items():
        state.write(key, value)
    try:
        if isinstance(profile, Scheduler):
            endpoint = profile.schedule(one.request, state, pool, now).endpoint
        else:
            endpoint = profile.run(one.request, state, pool).picked[0]
    except NoEndpointsError as nothing_left:
        return Assignment(one.request, None, str(nothing_left))
    return Assignment(one.request, endpoint, one.reason)
