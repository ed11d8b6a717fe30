"""The extension points of flow control: how requests wait for their turn when the pool is full.

All of it is pure and synchronous, given ``now`` in seconds on the clock of ``CycleState.now``. A policy may hold
state of its own; flow control runs on one event loop. A policy that raises or breaks its contract is reported and
stood in for (order of arrival, no limit, not saturated), so that no request is lost by it.

A request waits in the band of its priority, in the flow of its fairness id, at the rank that the band's ordering
policy gave it. When the pool has room, the highest band that has requests goes first; its fairness policy chooses
the flow, and the first of the flow is dispatched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from turnout.framework.endpoint import Endpoint
from turnout.framework.refusal import Refusal
from turnout.framework.request import InferenceRequest
from turnout.framework.state import CycleState

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request that waits. Times are in seconds on the caller's clock; no deadline is infinity.

    ``deadline`` is when the request is refused if it still waits: by its client's word, or by the time to live that
    the configuration gives it.

    ``enqueued_at`` is when it began to stand in line: for a request that was deferred, when that was over.

    ``state`` is the request's own, with what was known when it came; data producers have not run yet.
    """

    request: InferenceRequest
    enqueued_at: float
    deadline: float = NEVER
    state: CycleState = field(default_factory=CycleState)


# --- who goes next ---------------------------------------------------------------------------------------


@runtime_checkable
class OrderingPolicy(Protocol):
    """Orders the requests of one flow."""

    def rank(self, item: QueuedRequest, now: float) -> float:
        """The lowest rank goes first; equal ranks go in order of arrival. Asked when the request comes in."""
        ...


@runtime_checkable
class ExplainedOrdering(Protocol):
    """An ordering policy that can say why a request is where it is; asked only when a decision is explained."""

    def reason(self, item: QueuedRequest, now: float) -> str:
        """One short sentence."""
        ...


class EffectivePriority(NamedTuple):
    """The priority by which a waiting request is treated, and when that changes.

    ``until`` is when to ask again. From ``overdue_at`` on the request goes before all that are not overdue,
    whatever their priority, and overdue ones go in the order in which they became so.
    """

    priority: int
    until: float = NEVER
    overdue_at: float = NEVER


@runtime_checkable
class EffectivePriorityPolicy(Protocol):
    """Lets a waiting request count as one of another priority. Served by the ordering policy of its own band."""

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        """Asked when the request comes in, at each ``until``, and after its own priority was changed."""
        ...


@dataclass(frozen=True, slots=True)
class FlowHead:
    """A flow that has requests, in the band of ``priority``: its first one, that one's rank, and how many there are."""

    fairness_id: str
    head: QueuedRequest
    length: int
    priority: int = 0
    head_rank: float = 0.0


@runtime_checkable
class FairnessPolicy(Protocol):
    """Chooses among the flows of one band by looking at all of them, at every dispatch.

    One object may serve several bands; whatever it remembers it keeps by ``FlowHead.priority``.
    """

    def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
        """The flow whose head goes next; ``flows`` is not empty. A question, which need not lead to a dispatch."""
        ...


FlowRank: TypeAlias = tuple[float, float, str]
"""Compared part by part; the lowest goes first, and of equal ones that whose head came first."""


@runtime_checkable
class RankedFairnessPolicy(Protocol):
    """Chooses among the flows of one band by a rank of each, which costs the logarithm of their number."""

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        """Asked when a flow gets another head. The rank holds until then."""
        ...


@runtime_checkable
class DispatchAccounting(Protocol):
    """A fairness policy or a gate that learns what was dispatched, before the flow's next head is ranked."""

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """The request left the band of this (effective) priority for an endpoint."""
        ...


@dataclass(frozen=True, slots=True)
class QueueMix:
    """What waits, as shares of its number: with a TTFT target, and of a priority above 0."""

    queued: int
    with_target: float
    high_priority: float
    saturation: float


@runtime_checkable
class AdaptivePolicy(Protocol):
    """An ordering policy that changes its mind."""

    def adapt(self, mix: QueueMix, now: float) -> bool:
        """Asked about once a second. True when earlier answers of this policy do not hold any more."""
        ...


# --- whether it is time already --------------------------------------------------------------------------


class Deferral(NamedTuple):
    """Until when a request does not stand in line. ``until`` is when to ask again, at the latest.

    From ``expires_at`` on, the request is refused if it is still deferred.
    """

    until: float
    expires_at: float = NEVER


@runtime_checkable
class DeferralPolicy(Protocol):
    """Lets a request wait for a better time, without standing in anybody's way.

    A deferred request counts in the limits, and has no turn, no rank and no time to live: it ends by ``expires_at``, at
    the deadline that its client stated, or when its client leaves. Once no policy defers it, it stands in line as if it
    had come then, and nobody is asked about it again.
    """

    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        """Whether it is too early for the request; None lets it stand in line.

        Asked when the request comes in, at each ``until``, and after its priority or the configuration was changed.
        ``item.deadline`` is what the client stated, infinity if it did not.
        """
        ...


# --- whether anything goes -------------------------------------------------------------------------------


@runtime_checkable
class SaturationDetector(Protocol):
    """Tells how full the pool is.

    May declare ``feedback_seconds: float``: how long it takes to see that a request has ended, which is what eviction
    waits for; half a second otherwise.
    """

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        """1.0 is the set point; may exceed it. An empty pool is 1.0."""
        ...


@runtime_checkable
class SaturationListener(Protocol):
    """Hears how full the pool is."""

    def saturation_observed(self, saturation: float, now: float) -> None:
        """What the detector said; called at most once in a round of dispatching, and not while no request comes."""
        ...


@runtime_checkable
class UsageLimitPolicy(Protocol):
    """Sets how much saturation each priority may see."""

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """For each priority, highest first, the saturation at which it is held back."""
        ...


@runtime_checkable
class DispatchGate(Protocol):
    """Holds back a request that no endpoint has room for, however unsaturated the pool is on the whole."""

    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether some endpoint could run the request at once. Asked of every request that is next."""
        ...


# --- whether a request may wait --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueOutlook:
    """What a request that comes in has before it.

    ``expected_wait`` is in seconds, None as long as nothing is known of the pace; ``ahead`` counts the requests
    that go first; ``fill`` is the fullest of the limits that apply, 1.0 being full.
    """

    expected_wait: float | None
    ahead: int
    fill: float
    saturation: float


@runtime_checkable
class EntryPolicy(Protocol):
    """May refuse a request that would have to wait."""

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        """Why the request is refused instead of queued, or None."""
        ...


# --- taking back what runs -------------------------------------------------------------------------------


@runtime_checkable
class EvictionOrderingPolicy(Protocol):
    """Orders running requests that may be evicted."""

    def eviction_rank(self, item: QueuedRequest, dispatched_at: float) -> tuple[float, ...]:
        """The lowest rank is evicted first."""
        ...


@runtime_checkable
class EvictionFilterPolicy(Protocol):
    """Says which running requests may be evicted at all."""

    def evictable(self, item: QueuedRequest) -> bool:
        """Whether eviction may take this request."""
        ...
