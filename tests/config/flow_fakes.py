"""Flow control policies of an imagined third party, and what loads documents that use them."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint

from config.fakes import HEAD, LATE, LOAD, OFFERED, OWN_HEAD, Handler
from turnout.config import ConfigError, FlowControlSettings, Pipeline, load_pipeline
from turnout.framework import (
    Classification,
    CycleState,
    Deferral,
    Endpoint,
    FlowHead,
    FlowRank,
    InferenceRequest,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    Registry,
    SchedulingResult,
    StateKey,
)

TIER: StateKey[str] = StateKey("tier", producer="tier-classifier")


class Arrival:
    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at


class Weighted(Arrival):
    def __init__(self, weight: float = 1.0) -> None:
        if weight < 0:
            raise ValueError(f"weight must be at least 0, got {weight}")
        self.weight = weight


class Needy(Arrival):
    def __init__(self, share: float) -> None:
        self.share = share


class HungryOrder(Arrival):
    reads = (LOAD.of(""),)


class LateOrder(Arrival):
    reads = (LATE,)


class TierOrder(Arrival):
    reads = (TIER,)


class Strict:
    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        return (flow.head_rank, 0.0, "")


class Turns:
    def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
        return flows[0]


class Ceiling:
    def __init__(self, threshold: float = 1.0) -> None:
        self.threshold = threshold

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        return [self.threshold] * len(priorities)


class Full:
    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        return 1.0


class Gate:
    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        return True


class CountingDetector(Full):
    """Asked in the queue, but what it reads is there when it accounts for a dispatch."""

    reads = (LOAD.of(""),)

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        return None


class Doorman:
    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        return None


class Patience:
    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        return None


class GateAndDoorman(Gate, Doorman):
    pass


class HandlerAndGate(Gate, Doorman, Handler):
    """Holds requests back until it can decide about them, and decides."""

    profile_names = ("default",)


class Oldest:
    def eviction_rank(self, item: QueuedRequest, dispatched_at: float) -> tuple[float, ...]:
        return (dispatched_at,)


class Anyone:
    def evictable(self, item: QueuedRequest) -> bool:
        return True


class Classify:
    writes = (TIER,)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        return Classification()


class HungryClassifier:
    reads = (LOAD.of(""),)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        return Classification()


class RefusalCounter:
    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        pass


class HungryCounter(RefusalCounter):
    reads = (LOAD.of(""),)


class QuickProducer:
    """Asked in the queue, but what it writes is there when it has produced it."""

    writes = (LATE,)

    def rank(self, item: QueuedRequest, now: float) -> float:
        return 0.0

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        state.write(LATE, 1)


FLOW_CONTROL = {
    "fcfs-ordering-policy": "Arrival",
    "edf-ordering-policy": "Arrival",
    "needy-ordering-policy": "Needy",
    "slo-aware-ordering-policy": "Weighted",
    "global-strict-fairness-policy": "Strict",
    "round-robin-fairness-policy": "Turns",
    "static-usage-limit-policy": "Ceiling",
    "utilization-detector": "Full",
    "concurrency-detector": "CountingDetector",
    "room-gate": "Gate",
    "doorman": "Doorman",
    "gate-and-doorman": "GateAndDoorman",
    "handler-and-gate": "HandlerAndGate",
    "patience": "Patience",
    "priority-then-time-eviction-order-policy": "Oldest",
    "sheddable-eviction-filter": "Anyone",
    "tier-classifier": "Classify",
    "hungry-classifier": "HungryClassifier",
    "hungry-order": "HungryOrder",
    "late-order": "LateOrder",
    "tier-order": "TierOrder",
    "refusal-counter": "RefusalCounter",
    "hungry-counter": "HungryCounter",
    "quick-producer": "QuickProducer",
}

GATE_OPEN = f"{HEAD}featureGates: [flowControl]\n"
OWN_GATE_OPEN = f"{OWN_HEAD}featureGates: [flowControl]\n"


def flow_registry(*without: str) -> Registry:
    """Every fake, those of flow control included, under its type."""
    offered = {name: f"config.fakes:{target}" for name, target in OFFERED.items()}
    offered |= {name: f"config.flow_fakes:{target}" for name, target in FLOW_CONTROL.items()}
    return Registry.from_entry_points(
        EntryPoint(name, target, "turnout.plugins") for name, target in offered.items() if name not in without
    )


def load(body: str, *without: str, head: str = GATE_OPEN, previous: Pipeline | None = None) -> Pipeline:
    """The pipeline of a document with the gate open; line 4 is the first of ``body``."""
    return load_pipeline(head + body, registry=flow_registry(*without), previous=previous)


def settings(body: str, *without: str, head: str = GATE_OPEN, previous: Pipeline | None = None) -> FlowControlSettings:
    """The settings of flow control of such a document."""
    found = load(body, *without, head=head, previous=previous).flow_control
    assert found is not None
    return found


def problems(body: str, *without: str, head: str = GATE_OPEN) -> list[str]:
    """The lines of the error that loading such a document raises."""
    try:
        load(body, *without, head=head)
    except ConfigError as error:
        return str(error).replace("<text>:", "").splitlines()
    return []


def warnings(body: str, *without: str, head: str = GATE_OPEN) -> list[str]:
    """The warnings of such a document that loads."""
    return [str(warning) for warning in load(body, *without, head=head).warnings]
