"""Policies of the plainest kind, settings of them, and requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from turnout.config import BandSettings, FlowControlSettings
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.policies import Policies
from turnout.framework import (
    NEVER,
    Deferral,
    EffectivePriority,
    Endpoint,
    FlowHead,
    FlowRank,
    InferenceRequest,
    Named,
    PluginError,
    QueuedRequest,
)
from turnout.framework.testing import make_request


class Arrival:
    """Order of arrival."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at


@dataclass
class Aging(Arrival):
    """One priority up every ``step`` seconds up to ``top``, overdue after ``max_wait``."""

    step: float = 10.0
    top: int = 100
    max_wait: float = NEVER

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        climbed = int((now - item.enqueued_at) // self.step)
        until = item.enqueued_at + (climbed + 1) * self.step
        if until <= now:  # rounding
            climbed, until = climbed + 1, until + self.step
        priority = min(self.top, item.request.priority + climbed)
        return EffectivePriority(priority, until if priority < self.top else NEVER, item.enqueued_at + self.max_wait)


class Strict:
    """The best head of all flows."""

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        return (flow.head_rank, 0.0, "")


class Alphabet:
    """The flow whose name comes first; looks at all of them."""

    def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
        return min(flows, key=lambda flow: flow.fairness_id)


@dataclass
class Ceilings:
    """The same for every priority, or by priority."""

    ceiling: float = 1.0
    by_priority: dict[int, float] = field(default_factory=dict)

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        return [self.by_priority.get(priority, self.ceiling) for priority in priorities]


@dataclass
class InFlight:
    """Requests in flight by their limit."""

    limit: int = 1

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        if not endpoints:
            return 1.0
        return sum(endpoint.in_flight for endpoint in endpoints) / (self.limit * len(endpoints))


@dataclass
class Windows:
    """Lets what is of the level ``later`` go in every second ``length`` seconds, and at last after ``patience``."""

    length: float = 7.0
    patience: float = 30.0
    refuses: bool = False

    def is_open(self, now: float) -> bool:
        return int(now // self.length) % 2 == 1

    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        end = item.enqueued_at + self.patience
        if item.request.level != "later" or self.is_open(now) or (now >= end and not self.refuses):
            return None
        until = (now // self.length + 1) * self.length
        if until <= now:  # rounding
            until += self.length
        return Deferral(until, end) if self.refuses else Deferral(min(until, end))


class Broken:
    """Every policy at once, and none of them works."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        raise RuntimeError("broken on purpose")

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        raise RuntimeError("broken on purpose")

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        return (float("nan"), 0.0, "")

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        return [0.0]

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        return float("nan")

    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        return Deferral(now)

    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        raise RuntimeError("broken on purpose")


def band(ordering: Any = None, fairness: Any = None, **limits: int) -> BandSettings:
    return BandSettings(
        fairness=Named(fairness or Strict(), "fairness"), ordering=Named(ordering or Arrival(), "ordering"), **limits
    )


def settings(ordering: Any = None, fairness: Any = None, **changes: Any) -> FlowControlSettings:
    usual = band(ordering, fairness)
    made = FlowControlSettings(
        max_bytes=None,
        max_requests=None,
        default_request_ttl=timedelta(seconds=60),
        no_endpoint_request_ttl=timedelta(seconds=60),
        default_band=usual,
        default_negative_band=usual,
        bands=MappingProxyType({}),
        usage_limit=Named(Ceilings(), "limits"),
        detector=Named(InFlight(), "detector"),
    )
    return replace(made, **changes)


def policies_of(made: FlowControlSettings, report: Callable[[PluginError], None]) -> tuple[Limits, Policies]:
    limits = Limits(made)
    return limits, Policies(limits, report)


def request(name: str = "r", priority: int = 0, flow: str = "a", size: int = 10, **more: Any) -> InferenceRequest:
    return replace(make_request(name, priority=priority, fairness_id=flow), size_bytes=size, **more)
